// CircuitBreaker standalone, around a function, and in a client. The tests set lastFailureTime to advance time.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CircuitBreaker, CircuitOpenError, HolySheepError } from '../index.mjs'
import { ANSWER, CHUNKS, clockOf, failure, MESSAGES, pair, REQUEST, until } from './support/provider.mjs'

/** A breaker that opened a minute ago and is due for a probe. */
function dueForProbe(options = {}) {
  const breaker = new CircuitBreaker({ failureThreshold: 2, ...options })
  breaker.recordFailure()
  breaker.recordFailure()
  assert.equal(breaker.state, 'OPEN')
  breaker.lastFailureTime = Date.now() - 60_001
  return breaker
}

const fails = (breaker, error = new Error('no')) => failure(breaker.execute(() => Promise.reject(error)))

describe('standalone', () => {
  test('its properties have the documented defaults and are writable', () => {
    const breaker = new CircuitBreaker()
    const { failureThreshold, timeout, failures, lastFailureTime, state } = breaker
    assert.deepEqual(
      { failureThreshold, timeout, failures, lastFailureTime, state },
      { failureThreshold: 5, timeout: 60_000, failures: 0, lastFailureTime: null, state: 'CLOSED' },
    )
    const other = new CircuitBreaker(2, 1000)
    assert.deepEqual([other.failureThreshold, other.timeout], [2, 1000])
    Object.assign(other, { failureThreshold: 7, timeout: 9, halfOpenMaxCalls: 3, successThreshold: 2, failures: 1 })
    assert.deepEqual(
      [other.failureThreshold, other.timeout, other.halfOpenMaxCalls, other.successThreshold, other.failures],
      [7, 9, 3, 2, 1],
    )
    for (const [name, bad] of [
      ['failureThreshold', 0],
      ['timeout', -1],
      ['failures', 1.5],
      ['lastFailureTime', Number.NaN],
      ['state', 'AJAR'],
      ['onStateChange', 5],
    ]) {
      const before = breaker[name]
      assert.throws(
        () => {
          breaker[name] = bad
        },
        { code: 'INVALID_ARGUMENT' },
        name,
      )
      assert.equal(breaker[name], before)
    }
  })

  test('it opens after failureThreshold consecutive failures, and a success resets the count', () => {
    const breaker = new CircuitBreaker(3)
    for (const act of ['recordFailure', 'recordFailure', 'recordSuccess', 'recordFailure', 'recordFailure']) {
      breaker[act]()
      assert.equal(breaker.state, 'CLOSED')
      assert.equal(breaker.canExecute(), true)
    }
    const before = Date.now()
    breaker.recordFailure()
    assert.equal(breaker.state, 'OPEN')
    assert.equal(breaker.failures, 3)
    assert.ok(breaker.lastFailureTime >= before && breaker.lastFailureTime <= Date.now())
    assert.equal(breaker.canExecute(), false)
  })

  test('openMs and timeout are the same option, and giving both is an error', () => {
    assert.equal(new CircuitBreaker({ openMs: 1000 }).timeout, 1000)
    assert.equal(new CircuitBreaker({ timeout: 1000 }).timeout, 1000)
    assert.throws(() => new CircuitBreaker({ openMs: 1000, timeout: 1000 }), {
      code: 'INVALID_ARGUMENT',
      message: 'openMs: got a value in addition to `timeout`, which means the same; accepted: only one of the two',
    })
  })

  test('after its timeout it allows one probe at a time', () => {
    const breaker = dueForProbe()
    assert.equal(breaker.state, 'OPEN')
    assert.equal(breaker.canExecute(), true)
    assert.equal(breaker.state, 'HALF_OPEN')
    assert.equal(breaker.canExecute(), false)
    breaker.recordSuccess()
    assert.deepEqual([breaker.state, breaker.failures], ['CLOSED', 0])
    assert.equal(breaker.canExecute(), true)
  })

  test('a failed probe reopens it immediately', () => {
    const breaker = dueForProbe({ failureThreshold: 2 })
    assert.equal(breaker.canExecute(), true)
    breaker.recordFailure()
    assert.equal(breaker.state, 'OPEN')
    assert.equal(breaker.canExecute(), false)
  })

  test('it allows halfOpenMaxCalls concurrent probes and closes after successThreshold successes', () => {
    const breaker = dueForProbe({ halfOpenMaxCalls: 2, successThreshold: 3 })
    assert.deepEqual([breaker.canExecute(), breaker.canExecute(), breaker.canExecute()], [true, true, false])
    breaker.recordSuccess()
    assert.equal(breaker.canExecute(), true)
    breaker.recordSuccess()
    assert.equal(breaker.state, 'HALF_OPEN')
    breaker.recordSuccess()
    assert.equal(breaker.state, 'CLOSED')
  })

  test('a probe that never reports frees its slot after the timeout', async (t) => {
    const clock = clockOf(t)
    const breaker = dueForProbe({ timeout: 20 })
    assert.equal(breaker.canExecute(), true)
    assert.equal(breaker.canExecute(), false)
    await clock.advance(20)
    assert.equal(breaker.canExecute(), true)
  })

  test('the health score is the percentage of successes among the last ten calls', () => {
    const breaker = new CircuitBreaker(100)
    assert.equal(breaker.getHealthScore(), 100)
    for (let i = 0; i < 5; i++) breaker.recordFailure()
    assert.equal(breaker.getHealthScore(), 0)
    for (let i = 0; i < 5; i++) breaker.recordSuccess()
    assert.equal(breaker.getHealthScore(), 50)
    for (let i = 0; i < 10; i++) breaker.recordSuccess()
    assert.equal(breaker.getHealthScore(), 100)
  })

  test('it opens at errorRate once its window has minimumCalls', () => {
    const breaker = new CircuitBreaker({ failureThreshold: 1000, errorRate: 0.5, minimumCalls: 4 })
    breaker.recordFailure()
    breaker.recordSuccess()
    breaker.recordFailure()
    assert.equal(breaker.state, 'CLOSED')
    breaker.recordFailure()
    assert.equal(breaker.state, 'OPEN')
  })

  test('it can be opened, closed and reset', () => {
    const breaker = new CircuitBreaker()
    const changes = []
    breaker.onStateChange = (change) => changes.push(change)
    breaker.open()
    assert.equal(breaker.canExecute(), false)
    breaker.close()
    assert.equal(breaker.canExecute(), true)
    breaker.recordFailure()
    breaker.open()
    breaker.reset()
    assert.deepEqual([breaker.state, breaker.failures, breaker.lastFailureTime], ['CLOSED', 0, null])
    breaker.state = 'OPEN'
    assert.equal(breaker.state, 'OPEN')
    assert.deepEqual(
      changes.map(({ from, to }) => `${from} ${to}`),
      ['CLOSED OPEN', 'OPEN CLOSED', 'CLOSED OPEN', 'OPEN CLOSED', 'CLOSED OPEN'],
    )
  })
})

describe('around a function', () => {
  test("execute returns the function's result and rethrows its error", async (t) => {
    clockOf(t)
    const breaker = new CircuitBreaker(2)
    assert.equal(await breaker.execute(() => 5), 5)
    assert.equal(await breaker.execute(async () => 'x'), 'x')
    const error = new Error('mine')
    assert.equal(await fails(breaker, error), error)
    assert.equal(
      await failure(
        breaker.execute(() => {
          throw error
        }),
      ),
      error,
    )
    assert.equal(breaker.state, 'OPEN')
    const open = await failure(breaker.execute(() => assert.fail('was called')))
    assert.ok(open instanceof CircuitOpenError && open instanceof HolySheepError)
    assert.equal(open.code, 'CIRCUIT_OPEN')
    assert.ok(open.retryAfterMs > 59_000 && open.retryAfterMs <= 60_000)
    assert.equal((await failure(breaker.execute('x'))).code, 'INVALID_ARGUMENT')
  })

  test('a late success of a call that started before the breaker opened has no effect', async () => {
    const breaker = new CircuitBreaker(2)
    let finish
    const late = breaker.execute(() => new Promise((resolve) => (finish = resolve)))
    await fails(breaker)
    await fails(breaker)
    assert.equal(breaker.state, 'OPEN')
    finish('late')
    assert.equal(await late, 'late')
    assert.equal(breaker.state, 'OPEN')
  })

  test('a running probe takes the only slot, and its success closes the breaker', async () => {
    const breaker = dueForProbe()
    let finish
    const probe = breaker.execute(() => new Promise((resolve) => (finish = resolve)))
    assert.equal((await failure(breaker.execute(() => 1))).code, 'CIRCUIT_OPEN')
    finish('ok')
    await probe
    assert.equal(breaker.state, 'CLOSED')
  })

  test('isFailure decides which errors count, and an excluded error frees the probe slot', async () => {
    const isFailure = (error) => error.message !== 'mine'
    const breaker = new CircuitBreaker({ failureThreshold: 1, isFailure })
    await fails(breaker, new Error('mine'))
    assert.equal(breaker.state, 'CLOSED')
    await fails(breaker, new Error('theirs'))
    assert.equal(breaker.state, 'OPEN')
    breaker.lastFailureTime = Date.now() - 60_001
    await fails(breaker, new Error('mine'))
    assert.equal(breaker.state, 'HALF_OPEN')
    assert.equal(await breaker.execute(() => 'probe'), 'probe')
    assert.equal(breaker.state, 'CLOSED')
  })

  test('an onStateChange that throws does not change the outcome', async (t) => {
    const warnings = []
    const listener = ({ message }) => warnings.push(message)
    process.on('warning', listener)
    t.after(() => process.off('warning', listener))
    const breaker = new CircuitBreaker({
      failureThreshold: 1,
      onStateChange() {
        throw new Error('the observer failed')
      },
    })
    assert.equal((await fails(breaker)).message, 'no')
    assert.equal(breaker.state, 'OPEN')
    await new Promise(setImmediate)
    assert.match(warnings[0], /onStateChange.*the observer failed/)
  })
})

describe('in a client', () => {
  test('it opens after failures, and then no request is sent', async (t) => {
    const changes = []
    const breaker = new CircuitBreaker({ failureThreshold: 2, onStateChange: (change) => changes.push(change) })
    const { simulator, client } = await pair(t, { maxRetries: 0, circuitBreaker: breaker })
    simulator.setDefault({ status: 500 })
    for (let i = 0; i < 2; i++) assert.equal((await failure(client.chat(REQUEST))).code, 'SERVER_ERROR')
    assert.equal(breaker.state, 'OPEN')
    assert.equal(breaker.failures, 2)
    for (const call of [() => client.chat(REQUEST), () => client.stream(REQUEST).text()]) {
      const error = await failure(call())
      assert.ok(error instanceof CircuitOpenError)
      assert.ok(error.retryAfterMs > 50_000)
      assert.deepEqual(error.attempts, [])
    }
    const outcome = await client.streamWithRetry(MESSAGES)
    assert.deepEqual([outcome.attempts, outcome.error.code], [0, 'CIRCUIT_OPEN'])
    assert.equal(simulator.requests.length, 2)
    simulator.setDefault({ chunks: CHUNKS })
    breaker.lastFailureTime = Date.now() - 60_001
    assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
    assert.equal(breaker.state, 'CLOSED')
    assert.deepEqual(
      changes.map(({ from, to }) => `${from} ${to}`),
      ['CLOSED OPEN', 'OPEN HALF_OPEN', 'HALF_OPEN CLOSED'],
    )
  })

  test('it is checked before every attempt, including retries', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 9, circuitBreaker: { failureThreshold: 3 } })
    simulator.setDefault({ status: 500 })
    const error = await failure(client.chat(REQUEST))
    assert.equal(error.code, 'CIRCUIT_OPEN')
    assert.equal(error.cause.status, 500)
    assert.equal(simulator.requests.length, 3)
  })

  test('client errors, errors of the caller and 429s do not open it', async (t) => {
    const breaker = new CircuitBreaker(1)
    const { simulator, client } = await pair(t, { maxRetries: 0, circuitBreaker: breaker })
    for (const status of [400, 401, 403, 404, 422, 429]) {
      simulator.script({ status })
      await failure(client.chat(REQUEST))
      assert.equal(breaker.state, 'CLOSED', `${status}`)
    }
    await client.streamWithRetry(MESSAGES, () => {
      throw new Error('mine')
    })
    assert.equal(breaker.state, 'CLOSED')
  })

  test('timeouts, resets, truncations, stalls and in-band errors open it', async (t) => {
    for (const scenario of [
      { connectReset: true },
      { hang: true },
      { disconnect: { afterChunks: 0, how: 'done' } },
      { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'reset' } },
      { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } },
      { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'errorEvent' } },
    ]) {
      const breaker = new CircuitBreaker(1)
      const options = { maxRetries: 0, circuitBreaker: breaker, firstTokenTimeoutMs: 40, idleTimeoutMs: 40 }
      const { simulator, client } = await pair(t, options)
      simulator.script(scenario)
      await failure(client.chat(REQUEST))
      assert.equal(breaker.state, 'OPEN', JSON.stringify(scenario))
    }
  })

  test('an aborted probe frees its slot', async (t) => {
    const breaker = dueForProbe()
    const { simulator, client } = await pair(t, { maxRetries: 0, circuitBreaker: breaker })
    simulator.script({ hang: true })
    const controller = new AbortController()
    const aborted = failure(client.chat(REQUEST, { signal: controller.signal }))
    await until(() => simulator.requests.length === 1)
    controller.abort()
    await aborted
    // The caller gets the error before the engine has cleaned up.
    await until(() => client.metrics().inFlight === 0)
    assert.equal(breaker.state, 'HALF_OPEN')
    assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
    assert.equal(breaker.state, 'CLOSED')
  })
})
