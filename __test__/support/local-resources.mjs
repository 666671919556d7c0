// A program for local-resources.test.mjs: runs the commands that it reads from its standard input, one a line, and writes
// their results, one a line. Its first argument is the folder of the package, its second one a JSON object of urls.
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'

const require = createRequire(import.meta.url)
const folder = process.argv[2]
const { HolySheepStreamingClient, RateLimitedClient } = require(folder)
const { startSimulator, testClock } = require(`${folder}/dist/simulator.js`)
const { url, other, ca } = JSON.parse(process.argv[3])

const request = { model: 'm', messages: [{ role: 'user', content: 'x' }] }
const endpoints = [
  { name: 'a', baseUrl: url, apiKey: 'k' },
  { name: 'b', baseUrl: url, apiKey: 'l' },
]
const breaker = { failureThreshold: 1, openMs: 600_000 }
const create = (options) => new HolySheepStreamingClient({ endpoints, ca, circuitBreaker: breaker, ...options })
let shared
const client = () => (shared ??= create({ connectTimeoutMs: 50, totalTimeoutMs: 600_000 }))

const held = []
const started = []
const about = ({ _attempts, _endpoint }) => `${_endpoint} ${_attempts.length}`
const commands = {
  chat: async (options) => about(await client().chat(request, options)),
  /** Many calls at once. */
  chats: async ([count, options]) => {
    const calls = Array.from({ length: count }, async () => about(await client().chat(request, options)))
    return [...new Set(await Promise.all(calls))]
  },
  /** Starts a call, which `finish` awaits. */
  start: async (options) => started.push(client().chat(request, options)),
  finish: async () => about(await started.shift()),
  stream: async () => {
    let text = ''
    for await (const delta of client().stream(request).textStream) text += delta
    return text
  },
  callback: async () => {
    const { success, error } = await client()
      .streamWithRetry(request.messages, () => {})
      .catch((error) => assert.fail(`rejected with ${error}`))
    if (!success) throw error
  },
  models: async () => (await client().models()).length > 0,
  health: async () => (await client().healthCheck()).map(({ code }) => code ?? 'ok'),
  breakers: async () =>
    client()
      .metrics()
      .breakers.map(({ state }) => state),
  create: async (options) => create(options).url,
  watch: async () => create({ healthCheckMs: 600_000 }).close(),
  simulator: async () => (await startSimulator()).close(),
  clock: async () => testClock().restore(),
  limiter: async () => new RateLimitedClient('k', { baseUrl: url }).acquire(),
  /** Starts the runtime, over a connection that later calls do not use. */
  warm: async () => {
    await new HolySheepStreamingClient('k', { baseUrl: other }).models()
  },
  hold: async () => {
    try {
      for (;;) held.push(openSync('/dev/null'))
    } catch (error) {
      return error.code
    }
  },
  free: async () => held.splice(0).forEach(closeSync),
  /** A call in each of some worker threads: how they end. */
  workers: async (count) => Promise.all(Array.from({ length: count }, inWorker)),
  /** Ends the process in the middle of a stream. */
  exit: async () => {
    client().streamWithRetry(request.messages, () => {})
    setImmediate(() => process.exit(3))
  },
}

function inWorker() {
  return new Promise((resolve) => {
    try {
      const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
      worker.on('message', resolve)
      // Node's own error if the thread cannot start.
      worker.on('error', ({ code, message }) => resolve(code ?? message))
      worker.on('exit', (code) => resolve(`exit ${code}`))
    } catch ({ code }) {
      resolve(code)
    }
  })
}

if (!isMainThread) {
  parentPort.postMessage(
    await commands.chat().then(
      () => 'ok',
      ({ code, message }) => code ?? message,
    ),
  )
  process.exit(0)
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const [command, argument] = JSON.parse(line)
  let result
  try {
    result = { ok: (await commands[command](argument)) ?? true }
  } catch ({ name, code, message, cause, attempts }) {
    result = { name, code, message, cause: cause?.code, attempts: attempts?.map(({ outcome }) => outcome) }
  }
  console.log(JSON.stringify(result))
})
console.log('{}')
