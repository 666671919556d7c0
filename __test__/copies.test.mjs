// Two copies of the package in one process: what one creates works in the other, or is refused with the reason.
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { manifest } from '../scripts/platforms.mjs'
import { root } from './support/child.mjs'
import { failure, KEY, REQUEST } from './support/provider.mjs'

const folder = mkdtempSync(join(tmpdir(), 'holysheep-copies-'))
after(() => {
  // On Windows the addon of a copy cannot be removed while it is loaded.
  if (process.platform !== 'win32') rmSync(folder, { recursive: true })
})

/** Installs a copy, as another version if there is one. */
function install(name, version = manifest.version) {
  const to = join(folder, name, 'node_modules/holysheep')
  for (const part of ['dist', 'native', 'package.json']) cpSync(join(root, part), join(to, part), { recursive: true })
  if (version !== manifest.version) {
    writeFileSync(join(to, 'package.json'), JSON.stringify({ ...manifest, version }))
    // Its addon has the version of this one.
    const loader = join(to, 'dist/load.js')
    const text = readFileSync(loader, 'utf8')
    assert.ok(text.includes('found === exports.version'))
    writeFileSync(loader, text.replace('found === exports.version', 'true'))
  }
  const require = createRequire(join(folder, name, 'app.js'))
  const entry = (path) => require(path)
  return { path: to, ...entry('holysheep'), ...entry('holysheep/simulator'), ...entry('holysheep/ai-sdk') }
}

const one = install('one')
const two = install('two')
const other = install('other', '99.0.0')

/** A provider that fails, and a client of the second copy with these options. */
async function failing(t, options) {
  const simulator = await one.startSimulator({ default: { status: 500 } })
  const client = new two.HolySheepStreamingClient(KEY, { baseUrl: simulator.url, maxRetries: 0, ...options })
  t.after(async () => {
    await client.close()
    await simulator.close()
  })
  return { simulator, client }
}

test('the copies are separate', () => {
  assert.notEqual(one.CircuitBreaker, two.CircuitBreaker)
  assert.notEqual(one.HolySheepError, two.HolySheepError)
})

test('a breaker of another copy is shared with a client', async (t) => {
  const changes = []
  const breaker = new one.CircuitBreaker({ failureThreshold: 2, onStateChange: ({ to }) => changes.push(to) })
  const { client } = await failing(t, { circuitBreaker: breaker })
  for (const code of ['SERVER_ERROR', 'SERVER_ERROR', 'CIRCUIT_OPEN']) {
    assert.equal((await failure(client.chat(REQUEST))).code, code)
  }
  assert.deepEqual([breaker.state, changes], ['OPEN', ['OPEN']])
})

test('a retry manager takes a breaker of another copy', async () => {
  const breaker = new one.CircuitBreaker()
  const manager = new two.HolySheepRetryManager(KEY, { circuitBreaker: breaker })
  assert.equal(manager.circuitBreaker, breaker)
  const later = new one.CircuitBreaker()
  manager.circuitBreaker = later
  assert.equal(manager.circuitBreaker, later)
  await manager.close()
})

test('an object of another version is refused, and the error names both copies and the remedy', () => {
  const breaker = new other.CircuitBreaker()
  const client = new other.HolySheepStreamingClient(KEY)
  for (const [kind, use] of [
    ['a CircuitBreaker', () => new one.HolySheepStreamingClient(KEY, { circuitBreaker: breaker })],
    ['a CircuitBreaker', () => new one.HolySheepRetryManager(KEY, { circuitBreaker: breaker })],
    ['a HolySheepStreamingClient', () => one.createHolySheep({ client })],
  ]) {
    assert.throws(use, (error) => {
      assert.equal(error.code, 'INVALID_ARGUMENT')
      for (const part of [kind, '99.0.0', other.path, manifest.version, one.path, 'npm ls holysheep', 'npm dedupe'])
        assert.ok(error.message.includes(part), `${part} in ${error.message}`)
      return true
    })
  }
})

test('a client of another copy works in a batch and in the AI SDK provider', async (t) => {
  const { simulator, client } = await failing(t)
  simulator.setDefault({ text: 'Yes' })
  assert.equal((await one.batchProcess(['a'], { client }))[0].result, 'Yes')
  assert.equal(one.createHolySheep({ client }).client, client)
  const prompt = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }]
  const { content } = await one.createHolySheep({ client })('m').doGenerate({ prompt })
  assert.equal(content[0].text, 'Yes')
})

test('instanceof recognizes the errors of another copy and of another version', async (t) => {
  const { simulator, client } = await failing(t)
  const error = await failure(client.chat(REQUEST))
  for (const { HolySheepError, APIError, TimeoutError } of [one, two, other]) {
    assert.ok(error instanceof HolySheepError && error instanceof APIError)
    assert.ok(!(error instanceof TimeoutError))
  }
  class Mine extends one.HolySheepError {}
  assert.ok(!(error instanceof Mine))
  assert.ok(new Mine('mine') instanceof Mine && new Mine('mine') instanceof two.HolySheepError)
  for (const value of [null, undefined, 1, {}, Object.create(null), new Error('x')])
    assert.ok(!(value instanceof one.HolySheepError))
  assert.equal(
    client.isRetryable(Object.assign(new one.RateLimitError('x'), { code: 'RATE_LIMITED', status: 429 })),
    true,
  )

  // A helper retries them by the same rules.
  simulator.script({ status: 500 }, { text: 'Yes' })
  const answer = await one.retryWithBackoff(() => client.chat(REQUEST), { baseDelay: 0 })
  assert.equal(answer.choices[0].message.content, 'Yes')
})

test('a snapshot of one copy is resumed by another', async (t) => {
  const { simulator, client } = await failing(t, { recovery: false })
  simulator.setDefault({})
  simulator.script({ disconnect: { afterChunks: 2, how: 'reset' } })
  const { snapshot } = await failure(client.stream(REQUEST).text())
  const resuming = new one.HolySheepStreamingClient(KEY, { baseUrl: simulator.url })
  t.after(() => resuming.close())
  assert.ok((await resuming.resume(snapshot).text()).startsWith(snapshot.answer.text))
})

test('a test clock moves the clients of a copy of its version, and names the copies that it does not move', async (t) => {
  const warnings = []
  const onWarning = (warning) => warnings.push(warning.message)
  process.on('warning', onWarning)
  const clock = one.testClock({ settleMs: 5 })
  t.after(() => {
    clock.restore()
    process.off('warning', onWarning)
  })
  const { client } = await failing(t, { circuitBreaker: { failureThreshold: 1, openMs: 60_000 } })
  await failure(client.chat(REQUEST))
  assert.equal((await failure(client.chat(REQUEST))).code, 'CIRCUIT_OPEN')
  await clock.advance(60_000)
  assert.equal((await failure(client.chat(REQUEST))).code, 'SERVER_ERROR')
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(warnings.filter((text) => text.includes('testClock') && text.includes(other.path)).length, 1)
})
