// Errors for wrong options name the nearest option, where it belongs and what is accepted; internals are out of reach.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import {
  BoundedRetryQueue,
  batchProcess,
  CircuitBreaker,
  HolySheepAIClient,
  HolySheepRetryManager,
  HolySheepStreamingClient,
  ModelDegradationManager,
  RateLimitedClient,
  RetryAIManager,
  TimeoutAIManager,
} from '../index.mjs'
import { node } from './support/child.mjs'
import { clientOf, failure, KEY, MESSAGES, pair, provider, REQUEST } from './support/provider.mjs'

/** The message of the INVALID_ARGUMENT error that `act` fails with. */
async function invalidMessage(act) {
  const error = await failure((async () => act())())
  assert.equal(error.code, 'INVALID_ARGUMENT', error.stack)
  return error.message
}

describe('an option that does not exist', () => {
  for (const [options, expected] of [
    [{ maxRetry: 3 }, 'maxRetry: unknown option (did you mean maxRetries?)'],
    [{ baseURL: 'a.example' }, 'baseURL: unknown option (did you mean baseUrl?)'],
    [{ retry: { jiter: 'full' } }, 'retry.jiter: unknown option (did you mean jitter?)'],
    [{ circuitBreaker: { threshold: 3 } }, 'circuitBreaker.threshold: unknown option (did you mean failureThreshold'],
    [{ endpoints: [{ name: 'a', url: 'a.example' }] }, 'endpoints[0].url: unknown option (did you mean baseUrl?)'],
    [{ zebra: 1 }, 'zebra: unknown option; accepted: '],
  ]) {
    test(`is reported with the nearest option: ${Object.keys(options)[0]}`, async () => {
      const message = await invalidMessage(() => new HolySheepStreamingClient(KEY, options))
      assert.ok(message.startsWith(expected), message)
      assert.match(message, /; accepted: \w+, /)
    })
  }

  test('is also reported with the nearest option by methods', async () => {
    const limited = new RateLimitedClient(KEY)
    assert.match(
      await invalidMessage(() => limited.acquire({ timeout: 5 })),
      /^timeout: .*\(did you mean timeoutMs\?\)/,
    )
    assert.match(
      await invalidMessage(() => limited.chat(REQUEST, { totalTimeout: 5 })),
      /\(did you mean totalTimeoutMs\?\)/,
    )
  })

  const key = { apiKey: KEY }
  const wrappers = {
    RateLimitedClient: [(o) => new RateLimitedClient(KEY, o), ['capacity', 'refillRate', 'adapt', 'maxQueue']],
    TimeoutAIManager: [(o) => new TimeoutAIManager(KEY, o), ['tiers']],
    ModelDegradationManager: [(o) => new ModelDegradationManager(KEY, null, o), ['classify']],
    HolySheepAIClient: [
      (o) => new HolySheepAIClient(KEY, o),
      ['maxAttempts', 'maxRetries', 'retryDelay', 'exponentialBackoff', 'timeout', 'endpoints', 'healthCheck'],
    ],
    HolySheepRetryManager: [(o) => new HolySheepRetryManager(KEY, o), ['circuitBreaker', 'maxConcurrent']],
    BoundedRetryQueue: [
      (o) => new BoundedRetryQueue({ ...key, ...o }),
      ['maxAttempts', 'maxRetries', 'maxSize', 'concurrency', 'client', 'request'],
    ],
    batchProcess: [
      (o) => batchProcess(['a'], { ...key, ...o }),
      ['maxAttempts', 'maxRetries', 'concurrency', 'total', 'onProgress', 'signal'],
    ],
    executeWithRetry: [
      (o) => new HolySheepRetryManager(KEY).executeWithRetry(REQUEST, o),
      ['baseDelay', 'maxDelay', 'onRetry', 'onCircuitOpen'],
    ],
    chatCompletion: [(o) => new HolySheepAIClient(KEY).chatCompletion('m', MESSAGES, o), ['temperature', 'maxTokens']],
  }
  for (const [name, [act, options]] of Object.entries(wrappers)) {
    test(`is reported with the options of ${name}`, async () => {
      const [what, accepted] = (await invalidMessage(() => act({ zebra: 1 }))).split('; accepted: ')
      assert.equal(what, 'zebra: unknown option')
      for (const option of options) assert.ok(accepted.split(', ').includes(option), `${accepted} has ${option}`)
      assert.ok(!accepted.includes('$'), accepted)
    })
  }
})

describe('an option', () => {
  test('of calls only is rejected by a client', async () => {
    for (const option of ['idempotencyKey', 'sessionId', 'signal']) {
      const message = await invalidMessage(() => new HolySheepStreamingClient(KEY, { [option]: 'mine' }))
      assert.ok(message.startsWith(`${option}: unknown option; it belongs to a call`), message)
    }
  })

  test('cannot set what is internal to the package', async (t) => {
    const { simulator, client } = await pair(t)
    for (const option of ['$single', '$maxAttempts', '$promptTokens', 'single', 'maxAttempts', 'internal']) {
      assert.match(await invalidMessage(() => client.chat(REQUEST, { [option]: 1 })), /unknown option/)
    }
    for (const option of ['$limiter', '$single', 'limiter']) {
      assert.match(await invalidMessage(() => new HolySheepStreamingClient(KEY, { [option]: {} })), /unknown option/)
    }
    for (const circuitBreaker of ['$shared', true]) {
      const message = await invalidMessage(() => new HolySheepStreamingClient(KEY, { circuitBreaker }))
      assert.match(
        message,
        /^circuitBreaker: got .*; accepted: circuit breaker options \(\{\} for the defaults\), a Circ/,
      )
    }
    assert.equal(simulator.requests.length, 0)
  })

  test('of one endpoint rejects a shared breaker', async () => {
    const endpoints = [{ baseUrl: 'a.example', apiKey: KEY, circuitBreaker: new CircuitBreaker() }]
    const message = await invalidMessage(() => new HolySheepStreamingClient({ endpoints }))
    assert.equal(
      message,
      'endpoints[0].circuitBreaker: got a CircuitBreaker; accepted: circuit breaker options or false',
    )
  })

  test('that is a number instead of an object is rejected with an example', async () => {
    const message = await invalidMessage(() => new HolySheepStreamingClient(KEY, { rateLimit: 100 }))
    assert.match(message, /^rateLimit: got 100; accepted: .*\{ requestsPerMinute: 100 \}, or false/)
  })

  test('is named by its path, at the top level or nested', async () => {
    assert.match(await invalidMessage(() => new RateLimitedClient(KEY, { capacity: 'x' })), /^capacity: got 'x'/)
    const inside = await invalidMessage(() => new RateLimitedClient(KEY, { rateLimit: { capacity: 'x' } }))
    assert.match(inside, /^rateLimit\.capacity: got 'x'/)
  })
})

test('a key with a Bearer prefix is rejected and not printed', async () => {
  for (const key of [`Bearer ${KEY}`, `bearer ${KEY}`]) {
    const message = await invalidMessage(() => new HolySheepStreamingClient(key))
    assert.equal(message, "apiKey: got a key that starts with 'Bearer '; accepted: just the key")
  }
})

test("maxQueue next to capacity bounds the limiter's queue", async (t) => {
  const limited = new RateLimitedClient(KEY, { capacity: 1, refillRate: 0.001, maxQueue: 1 })
  t.after(() => limited.close())
  await limited.acquire()
  const controller = new AbortController()
  const waiting = failure(limited.acquire({ signal: controller.signal }))
  assert.equal((await failure(limited.acquire())).code, 'QUEUE_FULL')
  controller.abort()
  assert.equal((await waiting).name, 'AbortError')
  const nested = new RateLimitedClient(KEY, { capacity: 1, refillRate: 0.001, maxQueue: 5, rateLimit: { maxQueue: 0 } })
  t.after(() => nested.close())
  await nested.acquire()
  assert.equal((await failure(nested.acquire())).code, 'QUEUE_FULL')
})

test('the error of a rejected request says that its endpoint has no key', async (t) => {
  const simulator = await provider(t, { apiKey: 'its-own-key' })
  const client = new HolySheepStreamingClient({ apiKey: KEY, endpoints: [{ name: 'spare', baseUrl: simulator.url }] })
  t.after(() => client.close())
  const error = await failure(client.chat(REQUEST))
  assert.match(
    error.message,
    /^401 .*\(no key was sent: endpoint 'spare' has no apiKey, and the client's key is not sent to it/,
  )
  assert.equal(simulator.requests[0].headers.authorization, undefined)
  const keyed = clientOf(t, simulator)
  assert.doesNotMatch((await failure(keyed.chat(REQUEST))).message, /no key was sent/)
})

describe('a failed connection', () => {
  test('is reported with host and port, once', async (t) => {
    // Nothing listens on port 1. A port that was free a moment ago could be in use again.
    const port = 1
    const client = new HolySheepStreamingClient(KEY, { baseUrl: `http://127.0.0.1:${port}/secret/v1`, maxRetries: 0 })
    t.after(() => client.close())
    const { code, message } = await failure(client.chat(REQUEST))
    assert.deepEqual([code, message], ['ECONNREFUSED', `connection refused by 127.0.0.1:${port}`])
  })

  test('to an unknown host is reported with its name', async (t) => {
    const client = new HolySheepStreamingClient(KEY, { baseUrl: 'http://unknown.invalid:81/v1', maxRetries: 0 })
    t.after(() => client.close())
    const { code, message } = await failure(client.chat(REQUEST))
    assert.equal(code, 'ENOTFOUND')
    assert.match(message, /^the host name could not be resolved: unknown\.invalid:81/)
  })

  test('that is closed mid-answer is reported with the address', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 0, recovery: false })
    simulator.setDefault({ chunks: ['a', 'b'], disconnect: { afterChunks: 1, how: 'reset' } })
    const error = await failure(client.stream(REQUEST).text())
    const root = error.cause ?? error
    assert.ok(root.message.includes(new URL(simulator.url).host), root.message)
  })
})

describe('the stack of an error', () => {
  const calls = {
    chat: (client) => client.chat(REQUEST),
    text: (client) => client.stream(REQUEST).text(),
    executeStream: (client) => client.executeStream(MESSAGES),
    async chunks(client) {
      for await (const _ of client.stream(REQUEST));
    },
    async textStream(client) {
      for await (const _ of client.stream(REQUEST).textStream);
    },
    async streamWithRetry(client) {
      const { error } = await client.streamWithRetry(MESSAGES)
      throw error
    },
  }
  for (const [name, call] of Object.entries(calls)) {
    test(`names the caller of ${name}`, async (t) => {
      const { client } = await pair(t, { maxRetries: 1 }, { default: { status: 503 } })
      async function caller() {
        await call(client)
      }
      const error = await failure(caller())
      for (let link = error; link; link = link.cause) {
        assert.match(link.stack, /^\w+Error: .*\n/)
        assert.match(link.stack, /at (?:async )?caller /)
        assert.doesNotMatch(link.stack, /hub\.js/)
      }
    })
  }

  test('names the caller of a wrapper', async (t) => {
    const simulator = await provider(t, { default: { status: 503 } })
    const manager = new RetryAIManager(KEY, { maxRetries: 0 }, { baseUrl: simulator.url })
    t.after(() => manager.close())
    async function caller() {
      return manager.callWithRetry(MESSAGES)
    }
    const { cause } = await caller()
    assert.match(cause.stack, /callWithRetry/)
  })

  test('is unchanged if the caller threw the error', async (t) => {
    const { client } = await pair(t)
    const mine = new Error('mine')
    const { stack } = mine
    const error = await failure(
      client.executeStream(MESSAGES, () => {
        throw mine
      }),
    )
    assert.deepEqual([error === mine, error.stack], [true, stack])
  })
})

test('a simulator on a port in use fails with a one-line message', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address()
  const { code, stdout, stderr } = await node(['bin/holysheep.js', 'simulate', '--port', String(port)])
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, new RegExp(`^holysheep: the simulator cannot listen on 127\\.0\\.0\\.1:${port}: .*\n$`))
  const { startSimulator } = await import('../simulator.mjs')
  assert.equal((await failure(startSimulator({ port }))).code, 'EADDRINUSE')
})

test("a camelCase request field is forwarded, with one warning per process that has the provider's name for it", async (t) => {
  const simulator = await provider(t)
  const script = `
    import { HolySheepStreamingClient } from './index.mjs'
    const client = new HolySheepStreamingClient('sk-test', { baseUrl: ${JSON.stringify(simulator.url)} })
    for (const field of [{ maxTokens: 5 }, { maxTokens: 6, topP: 1 }, { top_k: 3, customField: 1, max_tokens: 7 }]) {
      await client.chat({ messages: [{ role: 'user', content: 'x' }], ...field })
    }`
  const { stderr } = await node(['--input-type=module', '-e', script])
  const warnings = stderr.split('\n').filter((line) => line.includes('HolySheepWarning'))
  assert.equal(warnings.length, 2, stderr)
  assert.match(warnings[0], /request\.maxTokens is sent unchanged.*did you mean max_tokens\?/)
  assert.match(warnings[1], /request\.topP .*did you mean top_p\?/)
  assert.deepEqual(
    simulator.requests.map(({ json }) => [json.maxTokens, json.topP, json.customField]),
    [
      [5, undefined, undefined],
      [6, 1, undefined],
      [undefined, undefined, 1],
    ],
  )
})
