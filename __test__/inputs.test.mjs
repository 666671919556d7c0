// What a wrong option is told: what was meant, where it belongs, what is accepted there; and what no option can reach.
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

/** What an act is refused with. */
async function refused(act) {
  const error = await failure((async () => act())())
  assert.equal(error.code, 'INVALID_ARGUMENT', error.stack)
  return error.message
}

describe('an option that does not exist', () => {
  for (const [given, meant] of [
    [{ maxRetry: 3 }, 'maxRetry: unknown option (did you mean maxRetries?)'],
    [{ baseURL: 'a.example' }, 'baseURL: unknown option (did you mean baseUrl?)'],
    [{ retry: { jiter: 'full' } }, 'retry.jiter: unknown option (did you mean jitter?)'],
    [{ circuitBreaker: { threshold: 3 } }, 'circuitBreaker.threshold: unknown option (did you mean failureThreshold'],
    [{ endpoints: [{ name: 'a', url: 'a.example' }] }, 'endpoints[0].url: unknown option (did you mean baseUrl?)'],
    [{ zebra: 1 }, 'zebra: unknown option; accepted: '],
  ]) {
    test(`is told with what was meant: ${Object.keys(given)[0]}`, async () => {
      const message = await refused(() => new HolySheepStreamingClient(KEY, given))
      assert.ok(message.startsWith(meant), message)
      assert.match(message, /; accepted: \w+, /)
    })
  }

  test('is told so by the functions and by the classes of JavaScript too', async () => {
    const limited = new RateLimitedClient(KEY)
    assert.match(await refused(() => limited.acquire({ timeout: 5 })), /^timeout: .*\(did you mean timeoutMs\?\)/)
    assert.match(await refused(() => limited.chat(REQUEST, { totalTimeout: 5 })), /\(did you mean totalTimeoutMs\?\)/)
  })

  const key = { apiKey: KEY }
  const faces = {
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
  for (const [name, [act, own]] of Object.entries(faces)) {
    test(`is told with the options of ${name} itself`, async () => {
      const [what, accepted] = (await refused(() => act({ zebra: 1 }))).split('; accepted: ')
      assert.equal(what, 'zebra: unknown option')
      for (const option of own) assert.ok(accepted.split(', ').includes(option), `${accepted} has ${option}`)
      assert.ok(!accepted.includes('$'), accepted)
    })
  }
})

describe('an option', () => {
  test('of a call alone is none of a client', async () => {
    for (const option of ['idempotencyKey', 'sessionId', 'signal']) {
      const message = await refused(() => new HolySheepStreamingClient(KEY, { [option]: 'mine' }))
      assert.ok(message.startsWith(`${option}: unknown option here, it is one of a call`), message)
    }
  })

  test('cannot say what is said inside the package', async (t) => {
    const { simulator, client } = await pair(t)
    for (const option of ['$single', '$maxAttempts', '$promptTokens', 'single', 'maxAttempts', 'aside']) {
      assert.match(await refused(() => client.chat(REQUEST, { [option]: 1 })), /unknown option/)
    }
    for (const option of ['$limiter', '$single', 'limiter']) {
      assert.match(await refused(() => new HolySheepStreamingClient(KEY, { [option]: {} })), /unknown option/)
    }
    for (const circuitBreaker of ['$shared', true]) {
      const message = await refused(() => new HolySheepStreamingClient(KEY, { circuitBreaker }))
      assert.match(message, /^circuitBreaker: got .*; accepted: options of a breaker \(\{\} for the defaults\), a Circ/)
    }
    assert.equal(simulator.requests.length, 0)
  })

  test('of one endpoint takes no breaker that is shared', async () => {
    const endpoints = [{ baseUrl: 'a.example', apiKey: KEY, circuitBreaker: new CircuitBreaker() }]
    const message = await refused(() => new HolySheepStreamingClient({ endpoints }))
    assert.equal(message, 'endpoints[0].circuitBreaker: got a CircuitBreaker; accepted: options of a breaker or false')
  })

  test('that is a number where options are expected is told the form', async () => {
    const message = await refused(() => new HolySheepStreamingClient(KEY, { rateLimit: 100 }))
    assert.match(message, /^rateLimit: got 100; accepted: .*\{ requestsPerMinute: 100 \}, or false/)
  })

  test("is named as it was given, beside the client's or inside", async () => {
    assert.match(await refused(() => new RateLimitedClient(KEY, { capacity: 'x' })), /^capacity: got 'x'/)
    const inside = await refused(() => new RateLimitedClient(KEY, { rateLimit: { capacity: 'x' } }))
    assert.match(inside, /^rateLimit\.capacity: got 'x'/)
  })
})

test('a key with Bearer before it is told so, and not printed', async () => {
  for (const key of [`Bearer ${KEY}`, `bearer ${KEY}`]) {
    const message = await refused(() => new HolySheepStreamingClient(key))
    assert.equal(message, "apiKey: got a key with 'Bearer ' before it; accepted: the key alone")
  }
})

test('maxQueue beside capacity bounds the queue of the limiter', async (t) => {
  const limited = new RateLimitedClient(KEY, { capacity: 1, refillRate: 0.001, maxQueue: 1 })
  t.after(() => limited.close())
  await limited.acquire()
  const waits = new AbortController()
  const waiting = failure(limited.acquire({ signal: waits.signal }))
  assert.equal((await failure(limited.acquire())).code, 'QUEUE_FULL')
  waits.abort()
  assert.equal((await waiting).name, 'AbortError')
  const own = new RateLimitedClient(KEY, { capacity: 1, refillRate: 0.001, maxQueue: 5, rateLimit: { maxQueue: 0 } })
  t.after(() => own.close())
  await own.acquire()
  assert.equal((await failure(own.acquire())).code, 'QUEUE_FULL')
})

test('an endpoint without a key says so when it is refused', async (t) => {
  const simulator = await provider(t, { apiKey: 'its-own-key' })
  const client = new HolySheepStreamingClient({ apiKey: KEY, endpoints: [{ name: 'spare', baseUrl: simulator.url }] })
  t.after(() => client.close())
  const error = await failure(client.chat(REQUEST))
  assert.match(error.message, /^401 .*\(no key was sent: endpoint 'spare' has no apiKey of its own/)
  assert.equal(simulator.requests[0].headers.authorization, undefined)
  const keyed = clientOf(t, simulator)
  assert.doesNotMatch((await failure(keyed.chat(REQUEST))).message, /no key was sent/)
})

describe('a failed connection', () => {
  test('is told with host and port, once', async (t) => {
    // Where nobody listens; one that was free a moment ago somebody else may have taken.
    const port = 1
    const client = new HolySheepStreamingClient(KEY, { baseUrl: `http://127.0.0.1:${port}/secret/v1`, maxRetries: 0 })
    t.after(() => client.close())
    const { code, message } = await failure(client.chat(REQUEST))
    assert.deepEqual([code, message], ['ECONNREFUSED', `connection refused by 127.0.0.1:${port}`])
  })

  test('to a name that nobody knows is told with the name', async (t) => {
    const client = new HolySheepStreamingClient(KEY, { baseUrl: 'http://nobody.invalid:81/v1', maxRetries: 0 })
    t.after(() => client.close())
    const { code, message } = await failure(client.chat(REQUEST))
    assert.equal(code, 'ENOTFOUND')
    assert.match(message, /^the host name could not be resolved: nobody\.invalid:81/)
  })

  test('that is closed in mid-answer is told with the address', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 0, recovery: false })
    simulator.setDefault({ chunks: ['a', 'b'], disconnect: { afterChunks: 1, how: 'reset' } })
    const error = await failure(client.stream(REQUEST).text())
    const root = error.cause ?? error
    assert.ok(root.message.includes(new URL(simulator.url).host), root.message)
  })
})

describe('the stack of an error', () => {
  const asks = {
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
  for (const [name, ask] of Object.entries(asks)) {
    test(`names the caller of ${name}`, async (t) => {
      const { client } = await pair(t, { maxRetries: 1 }, { default: { status: 503 } })
      async function whoAsks() {
        await ask(client)
      }
      const error = await failure(whoAsks())
      for (let link = error; link; link = link.cause) {
        assert.match(link.stack, /^\w+Error: .*\n/)
        assert.match(link.stack, /at (?:async )?whoAsks /)
        assert.doesNotMatch(link.stack, /hub\.js/)
      }
    })
  }

  test('names the caller of a face', async (t) => {
    const simulator = await provider(t, { default: { status: 503 } })
    const manager = new RetryAIManager(KEY, { maxRetries: 0 }, { baseUrl: simulator.url })
    t.after(() => manager.close())
    async function whoAsks() {
      return manager.callWithRetry(MESSAGES)
    }
    const { cause } = await whoAsks()
    assert.match(cause.stack, /callWithRetry/)
  })

  test("of an error that is the caller's own stays as it is", async (t) => {
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

test('a simulator on a port that is taken says so in one line', async (t) => {
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

test("a field of a request in camelCase is passed on, and told once a process with the provider's name for it", async (t) => {
  const simulator = await provider(t)
  const script = `
    import { HolySheepStreamingClient } from './index.mjs'
    const client = new HolySheepStreamingClient('sk-test', { baseUrl: ${JSON.stringify(simulator.url)} })
    for (const field of [{ maxTokens: 5 }, { maxTokens: 6, topP: 1 }, { top_k: 3, ownField: 1, max_tokens: 7 }]) {
      await client.chat({ messages: [{ role: 'user', content: 'x' }], ...field })
    }`
  const { stderr } = await node(['--input-type=module', '-e', script])
  const told = stderr.split('\n').filter((line) => line.includes('HolySheepWarning'))
  assert.equal(told.length, 2, stderr)
  assert.match(told[0], /request\.maxTokens is sent unchanged.*did you mean max_tokens\?/)
  assert.match(told[1], /request\.topP .*did you mean top_p\?/)
  assert.deepEqual(
    simulator.requests.map(({ json }) => [json.maxTokens, json.topP, json.ownField]),
    [
      [5, undefined, undefined],
      [6, 1, undefined],
      [undefined, undefined, 1],
    ],
  )
})
