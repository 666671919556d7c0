// The breaker and the router of the HolySheep tutorials, driven manually.
import { describe, test } from 'node:test'
import * as H from '../../index.mjs'
import { testClock } from '../../simulator.mjs'
import { CLASSES } from './classes.mjs'
import { outcome, same } from './match.mjs'

describe('CircuitBreaker, driven manually', () => {
  const opened = (...args) => {
    const breaker = new H.CircuitBreaker(...args)
    while (breaker.state === 'CLOSED') breaker.recordFailure()
    return breaker
  }
  const due = (...args) => {
    const breaker = opened(...args)
    breaker.lastFailureTime = Date.now() - breaker.timeout - 1
    return breaker
  }

  test('CLOSED, OPEN after five failures, HALF_OPEN when the first probe is admitted, CLOSED after a success', () => {
    const breaker = opened()
    same('failures, state', [breaker.failures, breaker.state, breaker.canExecute()], [5, 'OPEN', false])
    same('lastFailureTime', breaker.lastFailureTime, Number)
    breaker.lastFailureTime = Date.now() - 60_001
    same('before the probe', breaker.state, 'OPEN')
    same('canExecute', [breaker.canExecute(), breaker.state, breaker.canExecute()], [true, 'HALF_OPEN', false])
    breaker.recordSuccess()
    same('after the success', [breaker.failures, breaker.state, breaker.canExecute()], [0, 'CLOSED', true])
  })

  test('a failure in HALF_OPEN opens at once', () => {
    const breaker = due()
    breaker.canExecute()
    breaker.recordFailure()
    same('state', breaker.state, 'OPEN')
  })

  test('halfOpenMaxCalls at a time, successThreshold to close', () => {
    const breaker = due({ halfOpenMaxCalls: 2, successThreshold: 3 })
    same('canExecute', [breaker.canExecute(), breaker.canExecute(), breaker.canExecute()], [true, true, false])
    const states = [1, 2, 3].map(() => {
      breaker.recordSuccess()
      return breaker.state
    })
    same('states', states, ['HALF_OPEN', 'HALF_OPEN', 'CLOSED'])
  })

  test('getHealthScore is 0 to 100 over the last 10 calls', () => {
    const breaker = new H.CircuitBreaker(100)
    same('without calls', breaker.getHealthScore(), 100)
    for (let i = 0; i < 10; i++) breaker.recordFailure()
    same('after ten failures', breaker.getHealthScore(), 0)
    for (let i = 0; i < 5; i++) breaker.recordSuccess()
    same('after five successes', breaker.getHealthScore(), 50)
  })

  test('errorRate opens the circuit after at least minimumCalls (10) calls within windowMs (30000)', async (t) => {
    const clock = testClock()
    t.after(() => clock.restore())
    const half = (breaker) => {
      for (const act of ['recordSuccess', 'recordFailure']) breaker[act]()
    }
    const breaker = new H.CircuitBreaker({ errorRate: 0.5 })
    for (let i = 0; i < 4; i++) half(breaker)
    breaker.recordSuccess()
    same('after nine calls', breaker.state, 'CLOSED')
    breaker.recordFailure()
    same('after ten calls', breaker.state, 'OPEN')
    const slow = new H.CircuitBreaker({ errorRate: 0.5 })
    for (let i = 0; i < 4; i++) half(slow)
    await clock.advance(30_001)
    half(slow)
    same('after the window', slow.state, 'CLOSED')
    const within = new H.CircuitBreaker({ errorRate: 0.5 })
    for (let i = 0; i < 4; i++) half(within)
    // The window advances in steps, so its oldest part may already be gone.
    await clock.advance(20_000)
    half(within)
    same('within the window', within.state, 'OPEN')
  })

  test('isFailure excludes errors, and onStateChange gets from and to', async () => {
    const changes = []
    const isFailure = (error) => error.message !== 'mine'
    const onStateChange = (change) => changes.push(change)
    const breaker = new H.CircuitBreaker({ failureThreshold: 1, isFailure, onStateChange })
    const run = (message) => outcome(breaker.execute(() => Promise.reject(new Error(message))))
    same('execute', await run('mine'), { rejected: { message: 'mine' } })
    same('state', breaker.state, 'CLOSED')
    await run('theirs')
    same('state', breaker.state, 'OPEN')
    same('execute', await run('refused'), { rejected: { code: 'CIRCUIT_OPEN' } })
    breaker.close()
    same('close()', breaker.state, 'CLOSED')
    breaker.open()
    same('open()', breaker.state, 'OPEN')
    breaker.reset()
    same('reset()', [breaker.state, breaker.failures, breaker.lastFailureTime], ['CLOSED', 0, null])
    same('execute', await breaker.execute(() => 5), 5)
    const turns = ['OPEN', 'CLOSED', 'OPEN', 'CLOSED'].map((to) => ({ from: to === 'OPEN' ? 'CLOSED' : 'OPEN', to }))
    same('onStateChange', changes, turns)
  })
})

describe('MultiProviderRouter', () => {
  const { primary, backup1, backup2 } = CLASSES.MultiProviderRouter.properties.endpoints
  const times = (n, act) => Array.from({ length: n }, act)

  test('selectEndpoint: the first available endpoint, or the primary if none is available', () => {
    const router = new H.MultiProviderRouter()
    same('at first', router.selectEndpoint(), primary)
    times(3, () => router.recordFailure('primary'))
    same('without the primary', router.selectEndpoint(), backup1)
    times(5, () => router.recordFailure('backup1'))
    same('without the first backup', router.selectEndpoint(), backup2)
    times(5, () => router.recordFailure('backup2'))
    same('without any', router.selectEndpoint(), primary)
  })

  test('selectEndpoint: 0.7 · health + 0.3 · latency', () => {
    for (const [successes, best] of [
      // 0.7·80 + 0.3·100 = 86 against 0.7·100 + 0.3·50 = 85, and 79 with one success fewer.
      [8, primary],
      [7, backup1],
    ]) {
      const router = new H.MultiProviderRouter()
      router.recordLatency('primary', 100)
      for (const name of ['backup1', 'backup2']) router.recordLatency(name, 200)
      times(10 - successes, (_, n) => n < 2 && router.recordFailure('primary'))
      router.recordSuccess('primary')
      if (successes === 7) router.recordFailure('primary')
      times(successes - 1, () => router.recordSuccess('primary'))
      same(`${successes} of 10`, router.selectEndpoint(), best)
    }
  })

  test('the last 100 latencies count', () => {
    const router = new H.MultiProviderRouter()
    for (const name of ['backup1', 'backup2']) router.recordLatency(name, 50)
    times(1000, () => router.recordLatency('primary', 10_000))
    same('slow', router.selectEndpoint(), backup1)
    times(100, () => router.recordLatency('primary', 10))
    same('fast', router.selectEndpoint(), primary)
  })

  test('getEndpointName, and an unknown name', () => {
    const router = new H.MultiProviderRouter()
    const names = [`${backup1}/chat/completions`, primary, 'https://example.com'].map((url) =>
      router.getEndpointName(url),
    )
    same('getEndpointName', names, ['backup1', 'primary', 'unknown'])
    router.recordLatency('unknown', 1)
    router.recordSuccess('unknown')
    router.recordFailure('unknown')
  })
})
