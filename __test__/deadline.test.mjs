// One deadline covers the whole call and is divided among its attempts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimeoutError } from '../index.mjs'
import { ANSWER, clientOf, clockOf, failure, pair, passTime, provider, REQUEST, until } from './support/provider.mjs'

test('a silent route leaves the next one a share of the deadline', async (t) => {
  const clock = clockOf(t, { settleMs: 30 })
  const [a, b] = [await provider(t), await provider(t)]
  const client = clientOf(t, a, { baseUrl: undefined, endpoints: [a.url, b.url], totalTimeoutMs: 4000 })
  a.setDefault({ hang: true })
  const stream = client.stream(REQUEST)
  await until(() => a.requests.length === 1)
  await clock.advance(2000)
  assert.equal(await stream.text(), ANSWER)
  const [silent, answered] = (await stream.result).attempts
  assert.equal(silent.outcome, 'TIMEOUT')
  assert.equal(silent.message, 'no first token within 2000 ms')
  assert.equal(answered.outcome, 'complete')
})

test('the error breaks down how the time was spent', async (t) => {
  const clock = clockOf(t, { settleMs: 30 })
  const { simulator, client } = await pair(t, {
    totalTimeoutMs: 400,
    maxConcurrent: 1,
    retry: { backoff: [100], jitter: 'none' },
  })
  simulator.script({ hang: true }, { status: 503 }, { hang: true })
  const slot = new AbortController()
  const first = failure(client.chat(REQUEST, { totalTimeoutMs: 60_000, signal: slot.signal }))
  await until(() => simulator.requests.length === 1)
  const call = failure(client.chat(REQUEST))
  await until(() => client.metrics().inFlight === 2)
  await clock.advance(80)
  slot.abort()
  await first
  await until(() => simulator.requests[1]?.endedBy === 'complete')
  await passTime(clock, 100, () => simulator.requests.length === 3)
  await clock.advance(400)
  const error = await call
  assert.ok(error instanceof TimeoutError, error.stack)
  assert.equal(error.phase, 'total')
  const { queueMs, waitMs, attemptMs } = error.timeBreakdown
  assert.ok(queueMs >= 80 && waitMs >= 100 && attemptMs > 0, JSON.stringify(error.timeBreakdown))
  assert.equal(queueMs + waitMs + attemptMs, 400)
  const breakdown = `(in queues ${queueMs} ms, between attempts ${waitMs} ms, in 2 attempts ${attemptMs} ms)`
  assert.ok(error.message.endsWith(breakdown), error.message)
})

test('a retry that cannot finish before the deadline is not started', async (t) => {
  const { simulator, client } = await pair(t, {
    totalTimeoutMs: 10_000,
    retry: { backoff: [9800], jitter: 'none' },
  })
  simulator.script({ status: 503 })
  const error = await failure(client.chat(REQUEST))
  assert.deepEqual([error.status, error.attempts.length, simulator.requests.length], [503, 1, 1])
})
