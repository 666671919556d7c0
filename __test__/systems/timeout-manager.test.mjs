// TimeoutAIManager (HolySheep tutorial 003).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimeoutAIManager, TimeoutError } from '../../index.mjs'
import { ANSWER, clockOf, failure, KEY, MESSAGES, passTime, provider, settled, until } from '../support/provider.mjs'

const TIERS = { FAST: 300, NORMAL: 600, DEEP: 900 }

async function setup(t, options, simulatorOptions) {
  const simulator = await provider(t, simulatorOptions)
  const manager = new TimeoutAIManager(KEY, { baseUrl: simulator.url, connectTimeoutMs: 5000, ...options })
  t.after(() => manager.close())
  return { simulator, manager }
}

test('a request is sent with the tutorial’s defaults, and the result has the tutorial’s shape', async (t) => {
  clockOf(t)
  const { simulator, manager } = await setup(t)
  assert.deepEqual(manager.getTimeoutStats(), { message: 'No data yet' })
  const since = performance.now()
  const { success, data, latencyMs, timeoutTier, fallbackTriggered } = await manager.callWithTimeout(MESSAGES, 'faq')
  assert.equal(data.choices[0].message.content, ANSWER)
  assert.deepEqual([success, timeoutTier, fallbackTriggered], [true, 'FAST', false])
  assert.ok(latencyMs > 0 && latencyMs <= performance.now() - since)
  const { model, temperature, max_tokens, messages } = simulator.requests[0].json
  assert.deepEqual([model, temperature, max_tokens, messages], ['gpt-4.1', 0.7, 500, MESSAGES])
})

test('each query type has its timeout tier', async (t) => {
  const { manager } = await setup(t)
  for (const [type, tier] of [
    ['faq', 'FAST'],
    ['simple', 'FAST'],
    ['normal', 'NORMAL'],
    [undefined, 'NORMAL'],
    ['complex', 'DEEP'],
    ['analysis', 'DEEP'],
    ['anything', 'NORMAL'],
    ['toString', 'NORMAL'],
  ]) {
    assert.equal((await manager.callWithTimeout(MESSAGES, type)).timeoutTier, tier)
  }
})

test('a FAST query times out after one second, and the result has the error', async (t) => {
  const clock = clockOf(t, { settleMs: 30 })
  const { simulator, manager } = await setup(t, {}, { default: { hang: true } })
  const call = manager.callWithTimeout(MESSAGES, 'faq')
  const isOver = settled(call)
  await until(() => simulator.requests.length === 1)
  await clock.advance(999)
  assert.equal(isOver(), false)
  await clock.advance(1)
  const result = await call
  const { cause, ...fields } = result
  assert.deepEqual(fields, {
    success: false,
    error: 'Timeout after 1.0s for faq query',
    timeoutTier: 'FAST',
    fallbackTriggered: false,
    suggestion: 'Fall back to a faster model, or to a cache',
  })
  assert.ok(cause instanceof TimeoutError)
  assert.deepEqual([cause.phase, cause.attempts.length, simulator.requests.length], ['attempt', 1, 1])
})

test('an answer that is still streaming at its timeout is cut off too', async (t) => {
  const { manager } = await setup(t, { tiers: TIERS }, { default: { repeat: 100, chunkDelayMs: 50 } })
  const { success, cause } = await manager.callWithTimeout(MESSAGES, 'faq')
  assert.deepEqual([success, cause.code, cause.phase], [false, 'TIMEOUT', 'attempt'])
})

test('a timeout falls back to the next model and sets fallbackTriggered', async (t) => {
  const clock = clockOf(t, { settleMs: 30 })
  const { simulator, manager } = await setup(t, { tiers: TIERS, fallbackModels: ['deepseek-v3.2'] })
  simulator.script({ hang: true })
  const answered = manager.callWithTimeout(MESSAGES, 'faq')
  await until(() => simulator.requests.length === 1)
  await passTime(clock, TIERS.FAST, () => simulator.requests.length === 2)
  const result = await answered
  assert.deepEqual([result.success, result.fallbackTriggered, result.modelUsed], [true, true, 'deepseek-v3.2'])
  assert.equal(result.data.choices[0].message.content, ANSWER)
  assert.deepEqual(
    simulator.requests.map(({ json }) => json.model),
    ['gpt-4.1', 'deepseek-v3.2'],
  )
  simulator.setDefault({ hang: true })
  const failed = await clock.runUntil(manager.callWithTimeout(MESSAGES, 'faq'))
  assert.deepEqual([failed.success, failed.fallbackTriggered], [false, true])
})

test('other errors are reported as they are', async (t) => {
  const { manager } = await setup(t, {}, { default: { status: 401 } })
  const { success, error, cause, fallbackTriggered, suggestion } = await manager.callWithTimeout(MESSAGES)
  assert.deepEqual([success, fallbackTriggered, suggestion], [false, false, undefined])
  assert.deepEqual([cause.name, cause.status, error], ['AuthenticationError', 401, cause.message])
})

test('the statistics count failures too', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.script({}, { status: 500 }, {}, { status: 400 })
  for (let i = 0; i < 4; i++) await manager.callWithTimeout(MESSAGES)
  const { totalRequests, successRate, avgLatency } = manager.getTimeoutStats()
  assert.deepEqual([totalRequests, successRate], [4, 50])
  assert.ok(avgLatency > 0)
})

test('invalid arguments reject, and an abort rejects with its reason', async (t) => {
  const { manager } = await setup(t)
  assert.throws(() => new TimeoutAIManager(KEY, { tiers: { FAST: 0 } }), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new TimeoutAIManager(KEY, { tiers: { SLOW: 1 } }), { code: 'INVALID_ARGUMENT' })
  assert.equal((await failure(manager.callWithTimeout('hello'))).code, 'INVALID_ARGUMENT')
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  assert.equal(await failure(manager.callWithTimeout(MESSAGES, 'faq', 'gpt-4.1', { signal })), reason)
  assert.deepEqual(manager.getTimeoutStats(), { message: 'No data yet' })
})
