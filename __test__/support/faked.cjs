// Runs in a separate process: fakes every global that has to do with time, before or after the package is loaded, and
// exercises the package. Arguments: before or after; which fakes.
const assert = require('node:assert/strict')
const timers = require('node:timers')
const { writeSync } = require('node:fs')

const [, , when, which] = process.argv
const { exit } = process
const { exercise, expected } = require('../hosts/exercise.cjs')

const load = () => ({
  ...require('holysheep'),
  ...require('holysheep/simulator'),
  ...require('holysheep/fetch'),
})

const fakes = {
  /** Nothing ever fires, timers are numbers as in a browser, and time stands still. */
  all() {
    for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']) {
      globalThis[name] = () => 7
      if (name in timers) timers[name] = () => 7
    }
    for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate']) {
      globalThis[name] = () => {}
      timers[name] = () => {}
    }
    process.nextTick = () => {}
    process.hrtime = () => [0, 0]
    Date.now = () => 0
    performance.now = () => 0
    globalThis.structuredClone = () => {
      throw new Error('fake')
    }
  },
  node() {
    require('node:test').mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'] })
  },
  /** A window has timers of its own, and lacks what Node has. */
  window() {
    for (const name of ['setTimeout', 'setInterval']) globalThis[name] = () => 7
    for (const name of ['setImmediate', 'TextEncoder', 'TextDecoder', 'ReadableStream', 'Response', 'structuredClone'])
      Reflect.deleteProperty(globalThis, name)
  },
}

async function main() {
  if (when === 'before') fakes[which]()
  const holysheep = load()
  if (when === 'after') fakes[which]()
  const results = await exercise(holysheep)
  assert.deepEqual(results, expected(results))
  // A helper that is a wait follows the fake timers.
  let isOver = false
  new holysheep.HolySheepStreamingClient('k').sleep(1).then(() => {
    isOver = true
  })
  await holysheep.startSimulator().then((simulator) => simulator.close())
  assert.equal(isOver, false)
  writeSync(1, 'done\n')
  exit(0)
}

main().catch((error) => {
  writeSync(2, `${error.stack}\n`)
  exit(1)
})
