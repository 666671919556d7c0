// The policies of documents 000 and 001, as options of a client and of `retryWithBackoff`.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { retryWithBackoff } from '../../index.mjs'
import { run } from '../support/child.mjs'
import { clientOf, failure, pair, provider, REQUEST } from '../support/provider.mjs'

const fail = () => Promise.reject(Object.assign(new Error('busy'), { status: 503 }))
/** The waits of `retryWithBackoff` between so many attempts. */
async function waitsOf(options, maxAttempts = 6) {
  const waits = []
  const onRetry = (_attempt, _error, ms) => void waits.push(ms)
  await failure(retryWithBackoff(fail, { ...options, maxAttempts, onRetry }))
  return waits
}

describe('backoff', () => {
  const plain = { baseDelay: 2, maxDelay: 20, jitter: 'none' }

  test('exponential: min(maxDelay, base · 2^n)', async () => {
    assert.deepEqual(await waitsOf(plain), [2, 4, 8, 16, 20])
    assert.deepEqual(await waitsOf({ ...plain, multiplier: 3 }, 4), [2, 6, 18])
  })

  test('linear: base · n', async () => {
    assert.deepEqual(await waitsOf({ ...plain, backoff: 'linear' }), [2, 4, 6, 8, 10])
  })

  test('constant, and a fixed schedule whose last wait repeats', async () => {
    assert.deepEqual(await waitsOf({ ...plain, backoff: 'constant' }, 4), [2, 2, 2])
    assert.deepEqual(await waitsOf({ ...plain, backoff: [1, 2, 4] }, 6), [1, 2, 4, 4, 4])
  })

  test('each jitter keeps to its range, and none passes maxDelay', async () => {
    for (const [jitter, from, to] of [
      ['full', 0, 4],
      ['equal', 2, 4],
      ['proportional', 2, 6],
      ['decorrelated', 4, 12],
    ]) {
      const options = { backoff: 'constant', baseDelay: 4, jitter }
      const waits = await waitsOf({ ...options, maxDelay: 1000 }, 13)
      const bound = jitter === 'decorrelated' ? 1000 : to
      assert.ok(
        waits.every((ms) => ms >= from && ms <= bound),
        `${jitter}: ${waits}`,
      )
      assert.ok(new Set(waits).size > 3, `${jitter} is random`)
      const capped = await waitsOf({ ...options, baseDelay: 9, maxDelay: 5 }, 13)
      assert.ok(capped.every((ms) => ms <= 5))
    }
  })

  test('a least wait holds after the jitter', async () => {
    const waits = await waitsOf({ baseDelay: 1, maxDelay: 20, minDelay: 5 })
    assert.ok(waits.every((ms) => ms >= 5))
  })

  test('a client waits by the same forms', async (t) => {
    const waits = []
    const onEvent = (event) => event.type === 'wait' && waits.push(event.ms)
    const simulator = await provider(t, { default: { status: 503 } })
    for (const [retry, expected] of [
      [{ backoff: 'linear', baseDelayMs: 3 }, [3, 6, 9]],
      [{ backoff: 'exponential', baseDelayMs: 3, maxDelayMs: 7 }, [3, 6, 7]],
      [{ backoff: [1, 2, 4] }, [1, 2, 4]],
    ]) {
      waits.length = 0
      await failure(clientOf(t, simulator, { retry: { jitter: 'none', ...retry }, onEvent }).chat(REQUEST))
      assert.deepEqual(waits, expected)
    }
  })
})

test('memory does not grow with the number of retries: the body is encoded once and shared', async () => {
  const megabytes = 8
  const retries = 80
  // A process of its own, whose peak is that of these calls; the first one brings what any number of retries takes.
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
  const grown = after - before
  assert.ok(
    grown < (megabytes * retries) / 4,
    `${grown.toFixed()} MiB for ${megabytes} MiB sent ${many - few} times more`,
  )
})

test('an error rate opens the circuit though no failures come in a row, and then another provider answers', async (t) => {
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

test('every attempt has a request id of its own, in the event, in the record and on the wire', async (t) => {
  const events = []
  const { simulator, client } = await pair(t, { onEvent: (event) => events.push(event) })
  simulator.script({ status: 503 })
  await client.chat(REQUEST)
  const told = events.filter(({ type }) => type === 'attempt').map(({ requestId }) => requestId)
  const sent = simulator.requests.map(({ headers }) => headers['x-client-request-id'])
  assert.deepEqual(told, sent)
  assert.equal(new Set(told).size, 2)
  assert.equal(new Set(events.filter(({ call }) => call).map(({ call }) => call)).size, 1)
})

test('the idempotency key stays on retries and changes with the body', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 1, fallbackModels: ['small'] })
  simulator.script({ status: 500 }, { status: 500 })
  await client.chat(REQUEST)
  const [first, second, third] = simulator.requests.map(({ headers }) => headers['idempotency-key'])
  assert.equal(first, second)
  assert.notEqual(second, third)
})

test('models to fall back to can be named by the call', async (t) => {
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
