// CircuitBreaker by hand, around a function, and in a client. Time passes by setting lastFailureTime.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CircuitBreaker, CircuitOpenError, HolySheepError } from '../index.mjs'
import { ANSWER, clockOf, failure, MESSAGES, PIECES, pair, REQUEST, until } from './support/provider.mjs'

/** A breaker that was opened a minute ago. */
function due(options = {}) {
  const breaker = new CircuitBreaker({ failureThreshold: 2, ...options })
  breaker.recordFailure()
  breaker.recordFailure()
  assert.equal(breaker.state, 'OPEN')
  breaker.lastFailureTime = Date.now() - 60_001
  return breaker
}

const fails = (breaker, error = new Error('no')) => failure(breaker.execute(() => Promise.reject(error)))

describe('by hand', () => {
  test('its properties have the defaults of the document, and are writable', () => {
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

  test('it opens after so many failures in a row, and a success starts the count again', () => {
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

  test('its open time is openMs, or timeout, and only one of them is given', () => {
    assert.equal(new CircuitBreaker({ openMs: 1000 }).timeout, 1000)
    assert.equal(new CircuitBreaker({ timeout: 1000 }).timeout, 1000)
    assert.throws(() => new CircuitBreaker({ openMs: 1000, timeout: 1000 }), {
      code: 'INVALID_ARGUMENT',
      message: 'openMs: got a value in addition to `timeout`, which means the same; accepted: one of the two',
    })
  })

  test('after its timeout it lets one probe through at a time', () => {
    const breaker = due()
    assert.equal(breaker.state, 'OPEN')
    assert.equal(breaker.canExecute(), true)
    assert.equal(breaker.state, 'HALF_OPEN')
    assert.equal(breaker.canExecute(), false)
    breaker.recordSuccess()
    assert.deepEqual([breaker.state, breaker.failures], ['CLOSED', 0])
    assert.equal(breaker.canExecute(), true)
  })

  test('a failed probe opens it at once', () => {
    const breaker = due({ failureThreshold: 2 })
    assert.equal(breaker.canExecute(), true)
    breaker.recordFailure()
    assert.equal(breaker.state, 'OPEN')
    assert.equal(breaker.canExecute(), false)
  })

  test('halfOpenMaxCalls probes at a time, and successThreshold of them to close', () => {
    const breaker = due({ halfOpenMaxCalls: 2, successThreshold: 3 })
    assert.deepEqual([breaker.canExecute(), breaker.canExecute(), breaker.canExecute()], [true, true, false])
    breaker.recordSuccess()
    assert.equal(breaker.canExecute(), true)
    breaker.recordSuccess()
    assert.equal(breaker.state, 'HALF_OPEN')
    breaker.recordSuccess()
    assert.equal(breaker.state, 'CLOSED')
  })

  test('a probe that is never reported gives its place back after the timeout', async (t) => {
    const clock = clockOf(t)
    const breaker = due({ timeout: 20 })
    assert.equal(breaker.canExecute(), true)
    assert.equal(breaker.canExecute(), false)
    await clock.advance(20)
    assert.equal(breaker.canExecute(), true)
  })

  test('the health score is the share of successes among the last ten', () => {
    const breaker = new CircuitBreaker(100)
    assert.equal(breaker.getHealthScore(), 100)
    for (let i = 0; i < 5; i++) breaker.recordFailure()
    assert.equal(breaker.getHealthScore(), 0)
    for (let i = 0; i < 5; i++) breaker.recordSuccess()
    assert.equal(breaker.getHealthScore(), 50)
    for (let i = 0; i < 10; i++) breaker.recordSuccess()
    assert.equal(breaker.getHealthScore(), 100)
  })

  test('it opens on the error rate of its window, once there are enough calls', () => {
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
  test('it gives what the function gives, and throws what it throws', async (t) => {
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

  test('a late success of a call from before the opening changes nothing', async () => {
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

  test('a probe holds the only place, and its success closes', async () => {
    const breaker = due()
    let finish
    const probe = breaker.execute(() => new Promise((resolve) => (finish = resolve)))
    assert.equal((await failure(breaker.execute(() => 1))).code, 'CIRCUIT_OPEN')
    finish('ok')
    await probe
    assert.equal(breaker.state, 'CLOSED')
  })

  test('isFailure says which errors count; one that it excludes gives its place back', async () => {
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

  test('an onStateChange that throws does not change what happened', async (t) => {
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
  test('it opens after failures, and then nothing is asked', async (t) => {
    const changes = []
    const breaker = new CircuitBreaker({ failureThreshold: 2, onStateChange: (change) => changes.push(change) })
    const { simulator, client } = await pair(t, { maxRetries: 0, circuitBreaker: breaker })
    simulator.setDefault({ status: 500 })
    for (let i = 0; i < 2; i++) assert.equal((await failure(client.chat(REQUEST))).code, 'SERVER_ERROR')
    assert.equal(breaker.state, 'OPEN')
    assert.equal(breaker.failures, 2)
    for (const ask of [() => client.chat(REQUEST), () => client.stream(REQUEST).text()]) {
      const error = await failure(ask())
      assert.ok(error instanceof CircuitOpenError)
      assert.ok(error.retryAfterMs > 50_000)
      assert.deepEqual(error.attempts, [])
    }
    const outcome = await client.streamWithRetry(MESSAGES)
    assert.deepEqual([outcome.attempts, outcome.error.code], [0, 'CIRCUIT_OPEN'])
    assert.equal(simulator.requests.length, 2)
    simulator.setDefault({ chunks: PIECES })
    breaker.lastFailureTime = Date.now() - 60_001
    assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
    assert.equal(breaker.state, 'CLOSED')
    assert.deepEqual(
      changes.map(({ from, to }) => `${from} ${to}`),
      ['CLOSED OPEN', 'OPEN HALF_OPEN', 'HALF_OPEN CLOSED'],
    )
  })

  test('it is asked before every attempt, retries too', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 9, circuitBreaker: { failureThreshold: 3 } })
    simulator.setDefault({ status: 500 })
    const error = await failure(client.chat(REQUEST))
    assert.equal(error.code, 'CIRCUIT_OPEN')
    assert.equal(error.cause.status, 500)
    assert.equal(simulator.requests.length, 3)
  })

  test('what the client or its caller did wrong does not open it, nor does a 429', async (t) => {
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
      { chunks: PIECES, disconnect: { afterChunks: 2, how: 'reset' } },
      { chunks: PIECES, disconnect: { afterChunks: 2, how: 'stall' } },
      { chunks: PIECES, disconnect: { afterChunks: 2, how: 'errorEvent' } },
    ]) {
      const breaker = new CircuitBreaker(1)
      const options = { maxRetries: 0, circuitBreaker: breaker, firstTokenTimeoutMs: 40, idleTimeoutMs: 40 }
      const { simulator, client } = await pair(t, options)
      simulator.script(scenario)
      await failure(client.chat(REQUEST))
      assert.equal(breaker.state, 'OPEN', JSON.stringify(scenario))
    }
  })

  test('a probe that is aborted gives its place back', async (t) => {
    const breaker = due()
    const { simulator, client } = await pair(t, { maxRetries: 0, circuitBreaker: breaker })
    simulator.script({ hang: true })
    const enough = new AbortController()
    const aborted = failure(client.chat(REQUEST, { signal: enough.signal }))
    await until(() => simulator.requests.length === 1)
    enough.abort()
    await aborted
    // The caller is told at once, before the engine has put everything away.
    await until(() => client.metrics().inFlight === 0)
    assert.equal(breaker.state, 'HALF_OPEN')
    assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
    assert.equal(breaker.state, 'CLOSED')
  })
})
