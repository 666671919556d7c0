// An invalid argument is rejected immediately. The error names the argument, the given value and the accepted ones.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CircuitBreaker, HolySheepStreamingClient, RateLimitedClient } from '../index.mjs'
import { startSimulator } from '../simulator.mjs'
import { ANSWER, CHUNKS, failure, KEY, MESSAGES, METHODS, pair, REQUEST } from './support/provider.mjs'

/** Asserts that an error reports an invalid argument and names `option`. */
function assertInvalid(error, option, { value, accepted } = {}) {
  assert.ok(error instanceof TypeError || error instanceof RangeError, `${error?.stack}`)
  assert.equal(error.code, 'INVALID_ARGUMENT')
  assert.ok(error.message.startsWith(option), error.message)
  assert.ok(!error.message.includes(KEY), error.message)
  if (value !== undefined) assert.ok(error.message.includes(value), `${error.message} includes ${value}`)
  if (accepted !== undefined) assert.ok(error.message.includes(accepted), `${error.message} includes ${accepted}`)
}

function errorOf(act) {
  try {
    act()
  } catch (error) {
    return error
  }
  assert.fail('nothing was thrown')
}

const cycle = { role: 'user' }
cycle.self = cycle

describe('a constructor rejects', () => {
  const options = [
    [{ maxRetries: -1 }, 'maxRetries', '-1', 'a whole number from 0'],
    [{ maxRetries: Number.NaN }, 'maxRetries', 'NaN'],
    [{ maxRetries: '3' }, 'maxRetries', "'3' (a string)"],
    [{ maxRetries: 1.5 }, 'maxRetries', '1.5'],
    [{ maxRetries: Number.POSITIVE_INFINITY }, 'maxRetries', 'Infinity'],
    [{ maxRetries: 3n }, 'maxRetries', '3n'],
    [{ maxRetries: [] }, 'maxRetries', 'an array'],
    [{ baseUrl: 'not a url' }, 'baseUrl', "'not a url'", 'https://api.holysheep.ai/v1'],
    [{ baseUrl: 'ftp://host/v1' }, 'baseUrl', 'ftp'],
    [{ baseUrl: '' }, 'baseUrl'],
    [{ baseUrl: 7 }, 'baseUrl', '7'],
    [{ baseUrl: 'http://user:pass@host/v1' }, 'baseUrl'],
    [{ firstTokenTimeoutMs: 0 }, 'firstTokenTimeoutMs', '0'],
    [{ idleTimeoutMs: 1e12 }, 'idleTimeoutMs'],
    [{ totalTimeoutMs: '1s' }, 'totalTimeoutMs'],
    [{ minTokensPerSecond: 0 }, 'minTokensPerSecond', '0', 'a number from 0.1 to 10000, or false'],
    [{ minTokensPerSecond: -5 }, 'minTokensPerSecond', '-5'],
    [{ minTokensPerSecond: Number.NaN }, 'minTokensPerSecond', 'NaN'],
    [{ minTokensPerSecond: 10_001 }, 'minTokensPerSecond', '10001'],
    [{ minTokensPerSecond: true }, 'minTokensPerSecond', 'true'],
    [{ minTokensPerSecond: '5' }, 'minTokensPerSecond', "'5' (a string)"],
    [{ retry: { maxWaitBeforeFallbackMs: -1 } }, 'retry.maxWaitBeforeFallbackMs', '-1', 'whole milliseconds from 0'],
    [{ retry: { maxWaitBeforeFallbackMs: 0.5 } }, 'retry.maxWaitBeforeFallbackMs', '0.5'],
    [{ retry: { maxWaitBeforeFallbackMs: false } }, 'retry.maxWaitBeforeFallbackMs', 'false'],
    [{ requireFinishReason: 'no' }, 'requireFinishReason', "'no'", 'true or false'],
    [{ coalesce: 1 }, 'coalesce', '1', 'true or false'],
    [{ wholeAnswerTimeoutMs: 0 }, 'wholeAnswerTimeoutMs', '0', 'whole milliseconds from 1'],
    [{ rateLimit: { adapt: '429' } }, 'rateLimit.adapt', "'429'", "'headers' or false"],
    [{ rateLimit: { adapt: 'both' } }, 'rateLimit.adapt', "'both'", "'headers' or false"],
    [{ circuitBreaker: { openMs: 5, timeout: 5 } }, 'circuitBreaker.openMs', '`timeout`', 'one of the two'],
    [{ headers: 'x: y' }, 'headers'],
    [{ headers: { 'x-a': 'b\r\nx-c: d' } }, "headers['x-a']"],
    [{ headers: { 'x-a\n': 'b' } }, 'headers'],
    [{ headers: { authorization: 'Bearer other' } }, "headers['authorization']", undefined, 'apiKey'],
    [{ headers: { Authorization: 'Bearer other' } }, "headers['Authorization']"],
    [{ headers: { 'x-a': 1 } }, "headers['x-a']", '1', 'a string'],
    [{ headers: new Headers({ 'x-a': 'b' }) }, 'headers'],
    [{ headers: new Map([['x-a', 'b']]) }, 'headers'],
    [{ retry: 5 }, 'retry', '5', 'an object'],
    [{ retry: { backoff: 'random' } }, 'retry.backoff', "'random'", "'exponential'"],
    [{ retry: { backoff: [] } }, 'retry.backoff'],
    [{ retry: { jitter: true } }, 'retry.jitter', 'true', "'none'"],
    [{ retry: { retryOn: 5 } }, 'retry.retryOn', '5', 'an object'],
    [{ retry: { connectionReset: 'on' } }, 'retry.connectionReset', "'on'", 'true, false or an object'],
    [{ retry: { baseDelayMs: -1 } }, 'retry.baseDelayMs', '-1'],
    [{ retry: { attempts: 3 } }, 'retry.attempts: unknown option', undefined, 'baseDelayMs'],
    [{ retries: 3 }, 'retries: unknown option', undefined, 'maxRetries'],
    [{ endpoints: [] }, 'endpoints'],
    [{ endpoints: [{}] }, 'endpoints[0].baseUrl'],
    [{ endpoints: ['a.example'], baseUrl: 'b.example' }, 'baseUrl', undefined, 'one of the two'],
    [{ circuitBreaker: { failureThreshold: 0 } }, 'circuitBreaker.failureThreshold', '0'],
    [{ circuitBreaker: 'on' }, 'circuitBreaker', "'on'"],
    [{ circuitBreaker: { onStateChange: 'log' } }, 'onStateChange', "'log'", 'a function'],
    [{ rateLimit: { capacity: 0 } }, 'rateLimit.capacity', '0'],
    [{ maxConcurrent: 0 }, 'maxConcurrent', '0'],
    [{ ca: 'no certificate' }, 'ca'],
    [{ fallbackModels: 'gpt' }, 'fallbackModels', "'gpt'", 'an array'],
    [{ model: '' }, 'model'],
    [{ model: {} }, 'model', 'an object'],
    [{ onEvent: 'log' }, 'onEvent', "'log'", 'a function'],
  ]
  for (const [invalid, option, value, accepted] of options) {
    const [name] = Object.keys(invalid)
    test(`${name} ${typeof invalid[name] === 'object' ? option : String(invalid[name])}`, () => {
      for (const Client of [HolySheepStreamingClient, RateLimitedClient]) {
        const cases = [() => new Client(KEY, invalid), () => new Client({ apiKey: KEY, ...invalid })]
        for (const act of cases) assertInvalid(errorOf(act), option, { value, accepted })
      }
    })
  }

  for (const [name, key] of [
    ['an empty key', ''],
    ['a key of white space', ' \n'],
    ['a key with a space inside', 'sk-secret secret'],
    ['a key with a line break inside', 'sk-secret\nsecret'],
    ['a key that is a number', 123456],
    ['a key that is null', null],
  ]) {
    test(`${name}, without printing it`, () => {
      for (const Client of [HolySheepStreamingClient, RateLimitedClient]) {
        const error = errorOf(() => new Client(key))
        assertInvalid(error, 'apiKey')
        assert.ok(!/secret|123456/.test(error.stack), error.stack)
      }
      if (key === null) return
      const endpoints = [{ baseUrl: 'a.example', apiKey: key }]
      assertInvalid(
        errorOf(() => new HolySheepStreamingClient({ endpoints })),
        'endpoints[0].apiKey',
      )
    })
  }

  test('a second argument that is neither a number nor options', () => {
    assertInvalid(
      errorOf(() => new HolySheepStreamingClient(KEY, '3')),
      'maxRetries',
    )
    assertInvalid(
      errorOf(() => new HolySheepStreamingClient(KEY, [])),
      'options',
    )
    for (const Client of [HolySheepStreamingClient, RateLimitedClient]) {
      assertInvalid(
        errorOf(() => new Client({ apiKey: KEY }, 3)),
        'options',
      )
    }
  })

  test('options with a cycle', () => {
    assertInvalid(
      errorOf(() => new HolySheepStreamingClient(KEY, { headers: cycle })),
      'options',
    )
  })

  test('invalid options of a breaker or a simulator', async () => {
    for (const [option, value] of [
      ['failureThreshold', 0],
      ['failureThreshold', '5'],
      ['timeout', -1],
      ['errorRate', 2],
      ['threshold', 5],
      ['isFailure', true],
      ['onStateChange', 'log'],
    ]) {
      assertInvalid(
        errorOf(() => new CircuitBreaker({ [option]: value })),
        option,
      )
    }
    assertInvalid(
      errorOf(() => new CircuitBreaker('5')),
      'failureThreshold',
    )
    assertInvalid(
      errorOf(() => new CircuitBreaker(5, Number.NaN)),
      'timeout',
    )
    for (const options of [{ port: -1 }, { speed: 1 }, 5]) {
      const error = await failure(startSimulator(options))
      assert.equal(error.code, 'INVALID_ARGUMENT')
    }
  })
})

describe('a call rejects', () => {
  const REQUESTS = [
    [undefined, 'request'],
    [null, 'request'],
    ['Xin chào', 'request'],
    [MESSAGES, 'request'],
    [{}, 'request.messages'],
    [{ messages: 'Xin chào' }, 'request.messages'],
    [{ messages: [] }, 'request.messages'],
    [{ messages: [null] }, 'request.messages[0]'],
    [{ messages: [cycle] }, 'request'],
    [{ messages: [{ role: 'user', content: 1n }] }, 'request'],
  ]
  for (const [request, option] of REQUESTS) {
    test(`the request ${request?.messages?.[0] === cycle ? 'with a cycle' : describeRequest(request)}`, async (t) => {
      const { simulator, client } = await pair(t)
      assertInvalid(
        errorOf(() => client.stream(request)),
        option,
      )
      assertInvalid(await failure(client.chat(request)), option)
      if (typeof request === 'object' && request !== null && !Array.isArray(request)) {
        assertInvalid(await failure(client.streamWithRetry(request.messages)), option)
        assertInvalid(await failure(client.executeStream(request.messages)), option)
      }
      assert.equal(simulator.requests.length, 0)
    })
  }

  test('request fields that no provider accepts', async (t) => {
    const { simulator, client } = await pair(t)
    for (const [field, value] of [
      ['model', ''],
      ['model', 5],
      ['max_tokens', -5],
      ['max_completion_tokens', 0.5],
      ['n', 0],
    ]) {
      const request = { ...REQUEST, [field]: value }
      assertInvalid(
        errorOf(() => client.stream(request)),
        `request.${field}: `,
      )
      assertInvalid(await failure(client.chat(request)), `request.${field}: `)
    }
    assert.equal(simulator.requests.length, 0)
  })

  const OPTIONS = [
    [5, 'options'],
    ['fast', 'options'],
    [[], 'options'],
    [{ retries: 1 }, 'retries: unknown option'],
    [{ apiKey: KEY }, 'apiKey: unknown option'],
    [{ maxRetries: -1 }, 'maxRetries'],
    [{ signal: {} }, 'signal'],
    [{ signal: new AbortController() }, 'signal'],
    [{ headers: { authorization: 'x' } }, "headers['authorization']"],
    [{ idempotencyKey: 'a b' }, 'idempotencyKey'],
    [{ coalesce: 'yes' }, 'coalesce'],
  ]
  for (const [options, option] of OPTIONS) {
    test(`the options ${JSON.stringify(options)}`, async (t) => {
      const { simulator, client } = await pair(t)
      assertInvalid(
        errorOf(() => client.stream(REQUEST, options)),
        option,
      )
      assertInvalid(await failure(client.chat(REQUEST, options)), option)
      assertInvalid(await failure(client.streamWithRetry(MESSAGES, null, null, options)), option)
      assertInvalid(await failure(client.executeStream(MESSAGES, null, options)), option)
      assert.equal(simulator.requests.length, 0)
    })
  }

  test('a callback that is not a function', async (t) => {
    const { simulator, client } = await pair(t)
    for (const bad of ['print', 5, {}, true]) {
      assertInvalid(await failure(client.streamWithRetry(MESSAGES, bad)), 'onChunk', { accepted: 'a function' })
      assertInvalid(await failure(client.streamWithRetry(MESSAGES, null, bad)), 'onError', { accepted: 'a function' })
      assertInvalid(await failure(client.executeStream(MESSAGES, bad)), 'onChunk')
    }
    assert.equal(simulator.requests.length, 0)
  })

  test('invalid input without disturbing the calls in flight', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: CHUNKS, chunkDelayMs: 3 })
    const deltas = []
    const others = [METHODS.chat(client), METHODS.text(client), METHODS.streamWithRetry(client, deltas)]
    for (let i = 0; i < 20; i++) {
      assertInvalid(await failure(client.chat({ messages: 5 })), 'request.messages')
      await failure(client.streamWithRetry(MESSAGES, null, null, { x: i }))
    }
    for (const { text } of await Promise.all(others)) assert.equal(text, ANSWER)
  })
})

function describeRequest(request) {
  return JSON.stringify(request, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
}

test('a rejected call leaves no abort listener behind', async (t) => {
  const { client } = await pair(t)
  const { signal } = new AbortController()
  let listeners = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...args) => {
    listeners++
    add(...args)
  }
  signal.removeEventListener = (...args) => {
    listeners--
    remove(...args)
  }
  await failure(client.chat(REQUEST, { signal, maxRetries: -1 }))
  assert.equal(listeners, 0)
})

test('a setter that rejects a value keeps the old one', async (t) => {
  const { simulator, client } = await pair(t)
  const before = { apiKey: client.apiKey, maxRetries: 3, baseUrl: simulator.url, baseDelay: 1 }
  for (const [name, values] of Object.entries({
    apiKey: ['', 'a b', 5],
    maxRetries: [-1, Number.NaN, '3', 1.5],
    baseUrl: ['', 'no url', 5],
    baseDelay: [-1, Number.NaN, '1'],
  })) {
    for (const value of values) {
      const option = name === 'baseDelay' ? 'retry.baseDelayMs' : name
      assertInvalid(
        errorOf(() => {
          client[name] = value
        }),
        option,
      )
      assert.equal(client[name], before[name])
    }
  }
  assert.equal((await METHODS.text(client)).text, ANSWER)
})
