// The policies of HolySheep tutorials 000 and 001, as options of a client and of `retryWithBackoff`.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { retryWithBackoff } from '../../index.mjs'
import { run } from '../support/child.mjs'
import { clientOf, failure, pair, provider, REQUEST } from '../support/provider.mjs'

const fail = () => Promise.reject(Object.assign(new Error('busy'), { status: 503 }))
/** The delays of `retryWithBackoff` between `maxAttempts` attempts. */
async function delaysOf(options, maxAttempts = 6) {
  const delays = []
  const onRetry = (_attempt, _error, ms) => void delays.push(ms)
  await failure(retryWithBackoff(fail, { ...options, maxAttempts, onRetry }))
  return delays
}

describe('backoff', () => {
  const plain = { baseDelay: 2, maxDelay: 20, jitter: 'none' }

  test('an exponential delay is min(maxDelay, base · 2^n)', async () => {
    assert.deepEqual(await delaysOf(plain), [2, 4, 8, 16, 20])
    assert.deepEqual(await delaysOf({ ...plain, multiplier: 3 }, 4), [2, 6, 18])
  })

  test('a linear delay is base · n', async () => {
    assert.deepEqual(await delaysOf({ ...plain, backoff: 'linear' }), [2, 4, 6, 8, 10])
  })

  test('a constant delay repeats, and so does the last delay of a schedule', async () => {
    assert.deepEqual(await delaysOf({ ...plain, backoff: 'constant' }, 4), [2, 2, 2])
    assert.deepEqual(await delaysOf({ ...plain, backoff: [1, 2, 4] }, 6), [1, 2, 4, 4, 4])
  })

  test('every kind of jitter stays within its range and never exceeds maxDelay', async () => {
    for (const [jitter, from, to] of [
      ['full', 0, 4],
      ['equal', 2, 4],
      ['proportional', 2, 6],
      ['decorrelated', 4, 12],
    ]) {
      const options = { backoff: 'constant', baseDelay: 4, jitter }
      const delays = await delaysOf({ ...options, maxDelay: 1000 }, 13)
      const bound = jitter === 'decorrelated' ? 1000 : to
      assert.ok(
        delays.every((ms) => ms >= from && ms <= bound),
        `${jitter}: ${delays}`,
      )
      assert.ok(new Set(delays).size > 3, `${jitter} is random`)
      const capped = await delaysOf({ ...options, baseDelay: 9, maxDelay: 5 }, 13)
      assert.ok(capped.every((ms) => ms <= 5))
    }
  })

  test('minDelay applies after the jitter', async () => {
    const delays = await delaysOf({ baseDelay: 1, maxDelay: 20, minDelay: 5 })
    assert.ok(delays.every((ms) => ms >= 5))
  })

  test('a client supports the same kinds of backoff', async (t) => {
    const delays = []
    const onEvent = (event) => event.type === 'wait' && delays.push(event.ms)
    const simulator = await provider(t, { default: { status: 503 } })
    for (const [retry, expected] of [
      [{ backoff: 'linear', baseDelayMs: 3 }, [3, 6, 9]],
      [{ backoff: 'exponential', baseDelayMs: 3, maxDelayMs: 7 }, [3, 6, 7]],
      [{ backoff: [1, 2, 4] }, [1, 2, 4]],
    ]) {
      delays.length = 0
      await failure(clientOf(t, simulator, { retry: { jitter: 'none', ...retry }, onEvent }).chat(REQUEST))
      assert.deepEqual(delays, expected)
    }
  })
})

test('memory does not grow with the number of retries: the body is encoded once and shared', async () => {
  const megabytes = 8
  const retries = 80
  // A separate process, so that the peak is that of these calls; the first call allocates what any number of retries needs.
  const ended = await run(`
    const provider = await startSimulator({ default: { status: 503 }, recordLimit: 1 })
    const url = 'data:image/png;base64,' + 'A'.repeat(${megabytes} * 2 ** 20)
    const request = { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }] }
    const retry = { backoff: 'constant', baseDelayMs: 0 }
    const peaks = []
    for (const maxRetries of [10, ${retries}]) {
      const options = { baseUrl: provider.url, maxRetries, retry, retryBudget: false }
      const error = await new HolySheepStreamingClient('sk-test', options).chat(request).catch((error) => error)
      peaks.push(error.attempts.length, process.resourceUsage().maxRSS / 1024)
    }
    console.log(JSON.stringify(peaks))
    process.exit()
  `)
  assert.equal(ended.stderr, '')
  const [few, before, many, after] = JSON.parse(ended.stdout)
  assert.deepEqual([few, many], [11, retries + 1])
  const growth = after - before
  assert.ok(
    growth < (megabytes * retries) / 4,
    `${growth.toFixed()} MiB for ${megabytes} MiB sent ${many - few} times more`,
  )
})

test('the error rate opens the circuit without consecutive failures, and another endpoint answers', async (t) => {
  const circuitBreaker = { failureThreshold: 100, errorRate: 0.5, windowMs: 30_000, minimumCalls: 4 }
  const { simulator, client } = await pair(t, { circuitBreaker, maxRetries: 0 })
  simulator.script({}, { status: 500 }, {}, { status: 500 })
  for (let i = 0; i < 4; i++) await client.streamWithRetry(REQUEST.messages)
  assert.equal((await failure(client.chat(REQUEST))).code, 'CIRCUIT_OPEN')
  const backup = await provider(t)
  simulator.reset()
  simulator.script({}, { status: 500 }, {}, { status: 500 })
  const endpoints = [
    { name: 'main', baseUrl: simulator.url },
    { name: 'backup', baseUrl: backup.url },
  ]
  const both = clientOf(t, simulator, { baseUrl: undefined, endpoints, circuitBreaker })
  for (let i = 0; i < 5; i++) await both.chat(REQUEST)
  assert.deepEqual([simulator.requests.length, backup.requests.length], [4, 3])
})

test('every attempt has its own request id, in its event and on the wire', async (t) => {
  const events = []
  const { simulator, client } = await pair(t, { onEvent: (event) => events.push(event) })
  simulator.script({ status: 503 })
  await client.chat(REQUEST)
  const reported = events.filter(({ type }) => type === 'attempt').map(({ requestId }) => requestId)
  const sent = simulator.requests.map(({ headers }) => headers['x-client-request-id'])
  assert.deepEqual(reported, sent)
  assert.equal(new Set(reported).size, 2)
  assert.equal(new Set(events.filter(({ call }) => call).map(({ call }) => call)).size, 1)
})

test('the idempotency key is stable across retries and changes with the body', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 1, fallbackModels: ['small'] })
  simulator.script({ status: 500 }, { status: 500 })
  await client.chat(REQUEST)
  const [first, second, third] = simulator.requests.map(({ headers }) => headers['idempotency-key'])
  assert.equal(first, second)
  assert.notEqual(second, third)
})

test('a call can override the fallback models of the client', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0, fallbackModels: ['of the client'] })
  simulator.script({ status: 500 })
  await client.chat(REQUEST, { fallbackModels: ['of the call'] })
  simulator.script({ status: 500 })
  await client.chat(REQUEST)
  simulator.script({ status: 500 })
  await failure(client.chat(REQUEST, { fallbackModels: [] }))
  assert.deepEqual(
    simulator.requests.map(({ json }) => json.model),
    ['gpt-4.1', 'of the call', 'gpt-4.1', 'of the client', 'gpt-4.1'],
  )
})
