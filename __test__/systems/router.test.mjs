// MultiProviderRouter (HolySheep tutorial 004).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MultiProviderRouter } from '../../index.mjs'
import { until } from '../support/provider.mjs'

const [PRIMARY, BACKUP1, BACKUP2] = ['api', 'backup1', 'backup2'].map((host) => `https://${host}.holysheep.ai/v1`)
const times = (n, act) => Array.from({ length: n }, act)

test('the default breakers and endpoints are the tutorial’s, and the primary comes first', () => {
  const router = new MultiProviderRouter()
  assert.deepEqual(router.endpoints, { primary: PRIMARY, backup1: BACKUP1, backup2: BACKUP2 })
  const limits = Object.values(router.breakers).map((b) => [b.failureThreshold, b.timeout, b.successThreshold])
  assert.deepEqual(limits, [
    [3, 30_000, 3],
    [5, 60_000, 3],
    [5, 60_000, 3],
  ])
  assert.equal(router.selectEndpoint(), PRIMARY)
})

test('an endpoint whose breaker is open is skipped, and the primary is selected when none is available', () => {
  const router = new MultiProviderRouter()
  times(3, () => router.recordFailure('primary'))
  assert.equal(router.selectEndpoint(), BACKUP1)
  times(5, () => router.recordFailure('backup1'))
  assert.equal(router.selectEndpoint(), BACKUP2)
  times(5, () => router.recordFailure('backup2'))
  assert.equal(router.selectEndpoint(), PRIMARY)
})

test('latency is scored relative to the fastest endpoint, even when it takes seconds', () => {
  const router = new MultiProviderRouter()
  router.recordLatency('primary', 9000)
  router.recordLatency('backup1', 3000)
  router.recordLatency('backup2', 6000)
  assert.equal(router.selectEndpoint(), BACKUP1)
  // 0 ms scores 100, and so does an endpoint without data.
  const fresh = new MultiProviderRouter()
  fresh.recordLatency('primary', 0)
  assert.equal(fresh.selectEndpoint(), PRIMARY)
})

test('health outweighs latency', () => {
  const router = new MultiProviderRouter()
  router.recordLatency('primary', 100)
  for (const name of ['backup1', 'backup2']) router.recordLatency(name, 300)
  assert.equal(router.selectEndpoint(), PRIMARY)
  // Half of the calls fail: 0.7·50 + 0.3·100 = 65 is less than 0.7·100 + 0.3·33 = 80.
  for (let i = 0; i < 5; i++) {
    router.recordFailure('primary')
    router.recordSuccess('primary')
  }
  assert.equal(router.selectEndpoint(), BACKUP1)
})

test('only the last 100 latencies count', () => {
  const router = new MultiProviderRouter()
  for (const name of ['backup1', 'backup2']) router.recordLatency(name, 50)
  times(1000, () => router.recordLatency('primary', 10_000))
  assert.equal(router.selectEndpoint(), BACKUP1)
  times(100, () => router.recordLatency('primary', 10))
  assert.equal(router.selectEndpoint(), PRIMARY)
})

test('one slow answer does not demote an endpoint', () => {
  const router = new MultiProviderRouter()
  times(5, () => router.recordLatency('primary', 100))
  router.recordLatency('primary', 60_000)
  for (const name of ['backup1', 'backup2']) router.recordLatency(name, 300)
  assert.equal(router.selectEndpoint(), PRIMARY)
})

test('selecting an endpoint uses no half-open probe of the others', () => {
  const router = new MultiProviderRouter()
  for (const [name, breaker] of Object.entries(router.breakers)) {
    times(5, () => router.recordFailure(name))
    // Its timeout has elapsed.
    breaker.lastFailureTime = Date.now() - breaker.timeout
  }
  assert.equal(router.selectEndpoint(), PRIMARY)
  assert.equal(router.breakers.primary.state, 'HALF_OPEN')
  // One endpoint is selected; the others are only compared and keep their probes.
  assert.deepEqual([router.breakers.backup1.state, router.breakers.backup2.state], ['OPEN', 'OPEN'])
  assert.equal(router.breakers.backup1.canExecute(), true)
})

test('an endpoint that was down is selected again once its timeout elapses', async () => {
  const router = new MultiProviderRouter()
  times(10, () => router.recordFailure('primary'))
  assert.equal(router.selectEndpoint(), BACKUP1)
  router.breakers.primary.lastFailureTime = Date.now() - router.breakers.primary.timeout
  for (let probe = 0; probe < 3; probe++) {
    await until(() => router.selectEndpoint() === PRIMARY)
    router.recordSuccess('primary')
  }
  assert.equal(router.breakers.primary.state, 'CLOSED')
  assert.equal(router.selectEndpoint(), PRIMARY)
})

test('three successful probes close the breaker of an endpoint', async () => {
  const router = new MultiProviderRouter({ endpoints: { only: 'http://127.0.0.1:1/v1' } })
  router.breakers.only.timeout = 10
  times(3, () => router.recordFailure('only'))
  assert.equal(router.breakers.only.state, 'OPEN')
  for (let i = 0; i < 3; i++) {
    await until(() => {
      router.selectEndpoint()
      return router.breakers.only.state === 'HALF_OPEN'
    })
    router.recordSuccess('only')
  }
  assert.equal(router.breakers.only.state, 'CLOSED')
})

test('an unknown endpoint has the name unknown, and recording for it does nothing', () => {
  const router = new MultiProviderRouter()
  assert.equal(router.getEndpointName(`${BACKUP1}/chat/completions`), 'backup1')
  assert.equal(router.getEndpointName(PRIMARY), 'primary')
  for (const url of ['https://api.holysheep.ai/v10', `https://evil.example/?${PRIMARY}`, '', undefined]) {
    assert.equal(router.getEndpointName(url), 'unknown')
  }
  for (const name of ['unknown', 'toString', '__proto__']) {
    router.recordSuccess(name)
    router.recordFailure(name)
    router.recordLatency(name, 5)
  }
  assert.throws(() => router.recordLatency('primary', Number.NaN), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new MultiProviderRouter({ endpoints: {} }), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new MultiProviderRouter({ endpoints: { a: 'no url' } }), { code: 'INVALID_ARGUMENT' })
})

test('unknown options and invalid latencies are rejected', () => {
  assert.throws(() => new MultiProviderRouter({ foo: 1 }), /^TypeError: foo: unknown option/)
  for (const ms of [Number.POSITIVE_INFINITY, Number.NaN, -1, '5']) {
    assert.throws(() => new MultiProviderRouter().recordLatency('primary', ms), /^TypeError: ms: got /)
  }
})
