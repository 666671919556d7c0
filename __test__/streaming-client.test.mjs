// HolySheepStreamingClient as its tutorial describes it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepError, HolySheepStreamingClient, StreamInterruptedError } from '../index.mjs'
import { startSimulator } from '../simulator.mjs'
import {
  ANSWER,
  CHUNKS,
  clientOf,
  failure,
  KEY,
  MESSAGES,
  pair,
  provider,
  QUICK,
  REQUEST,
  until,
} from './support/provider.mjs'

test('the constructor accepts a key and a number of retries, a key and options, or options', () => {
  const plain = new HolySheepStreamingClient(KEY)
  assert.deepEqual([plain.apiKey, plain.maxRetries, plain.baseUrl, plain.baseDelay], [KEY, 3, 'api.holysheep.ai', 1000])
  assert.equal(new HolySheepStreamingClient(KEY, 5).maxRetries, 5)
  const options = { maxRetries: 0, baseUrl: 'http://127.0.0.1:9/v1', retry: { baseDelayMs: 7 } }
  for (const client of [
    new HolySheepStreamingClient(KEY, options),
    new HolySheepStreamingClient({ apiKey: ` ${KEY}\n`, ...options }),
  ]) {
    assert.deepEqual([client.apiKey, client.maxRetries, client.baseUrl, client.baseDelay], [KEY, 0, options.baseUrl, 7])
  }
  assert.equal(new HolySheepStreamingClient('YOUR_HOLYSHEEP_API_KEY').apiKey, 'YOUR_HOLYSHEEP_API_KEY')
})

test('the key and the URL default to environment variables', async (t) => {
  const simulator = await provider(t, { apiKey: 'sk-from-the-environment' })
  t.after(() => {
    delete process.env.HOLYSHEEP_API_KEY
    delete process.env.HOLYSHEEP_BASE_URL
  })
  assert.throws(() => new HolySheepStreamingClient(), { name: 'TypeError', message: /apiKey.*HOLYSHEEP_API_KEY/ })
  process.env.HOLYSHEEP_API_KEY = 'sk-from-the-environment'
  process.env.HOLYSHEEP_BASE_URL = simulator.url
  const client = new HolySheepStreamingClient()
  assert.deepEqual([client.apiKey, client.baseUrl], ['sk-from-the-environment', simulator.url])
  await client.chat(REQUEST)
  const explicit = new HolySheepStreamingClient(KEY, { baseUrl: 'a.example' })
  assert.deepEqual([explicit.apiKey, explicit.baseUrl], [KEY, 'a.example'])
  process.env.HOLYSHEEP_BASE_URL = ''
  assert.equal(new HolySheepStreamingClient().baseUrl, 'api.holysheep.ai')
})

test('the client requests a gpt-4.1 stream, with the key in one header', async (t) => {
  const { simulator, client } = await pair(t)
  await client.streamWithRetry(MESSAGES)
  const [{ json, headers, path, method }] = simulator.requests
  assert.equal(method, 'POST')
  assert.equal(path, '/v1/chat/completions')
  assert.equal(json.model, 'gpt-4.1')
  assert.equal(json.stream, true)
  assert.deepEqual(json.messages, MESSAGES)
  assert.equal(headers.authorization, `Bearer ${KEY}`)
})

test('streamWithRetry delivers each delta once and in order, and counts its attempts', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ status: 500 }, { connectReset: true })
  const deltas = []
  const outcome = await client.streamWithRetry(MESSAGES, (delta) => deltas.push(delta))
  assert.deepEqual(outcome, { success: true, attempts: 3 })
  assert.deepEqual(deltas, CHUNKS)
})

test('onError is called once with the failure, before the promise resolves', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 1 })
  simulator.setDefault({ status: 503 })
  const order = []
  const outcome = await client
    .streamWithRetry(MESSAGES, null, (error) => order.push(error))
    .finally(() => order.push(0))
  assert.deepEqual(Object.keys(outcome).sort(), ['attempts', 'error', 'success'])
  assert.deepEqual([outcome.success, outcome.attempts], [false, 2])
  assert.equal(outcome.error.status, 503)
  assert.deepEqual(order, [outcome.error, 0])
})

test('an onError that throws or rejects causes a process warning and does not change the outcome', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ status: 500 })
  const warnings = []
  const listener = (warning) => warnings.push(warning.message)
  process.on('warning', listener)
  t.after(() => process.off('warning', listener))
  const fault = () => {
    throw new Error('the listener failed')
  }
  for (const onError of [fault, async () => fault()]) {
    const outcome = await client.streamWithRetry(MESSAGES, null, onError)
    assert.deepEqual([outcome.success, outcome.error.status], [false, 500])
  }
  await until(() => warnings.length === 2)
  for (const warning of warnings) assert.match(warning, /onError.*the listener failed/)
})

test('a callback that throws at the third delta ends its own call with that error, and no other call', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ chunks: CHUNKS, chunkDelayMs: 20 })
  const other = client.chat(REQUEST)
  await until(() => simulator.requests.length === 1)
  simulator.setDefault({ chunks: CHUNKS, disconnect: { afterChunks: 4, how: 'stall' } })
  for (const fail of [
    (error) => {
      throw error
    },
    (error) => Promise.reject(error),
  ]) {
    const deltas = []
    const mine = new Error('my own')
    const errors = []
    const onChunk = (delta) => (deltas.push(delta) === 3 ? fail(mine) : undefined)
    const outcome = await client.streamWithRetry(MESSAGES, onChunk, (error) => errors.push(error))
    assert.equal(outcome.success, false)
    assert.equal(outcome.error, mine)
    assert.deepEqual(errors, [mine])
    assert.deepEqual(deltas, CHUNKS.slice(0, 3))
    const rejected = await failure(
      client.executeStream(MESSAGES, () => {
        throw mine
      }),
    )
    assert.equal(rejected, mine)
  }
  assert.equal((await other).choices[0].message.content, ANSWER)
  await until(() => simulator.requests.every(({ endedBy }) => endedBy !== 'open'))
  assert.equal(simulator.requests.filter(({ endedBy }) => endedBy === 'client').length, 4)
})

test('a callback may throw any value', async (t) => {
  const { client } = await pair(t)
  for (const thing of ['a string', undefined, null, 5]) {
    const outcome = await client.streamWithRetry(MESSAGES, () => {
      throw thing
    })
    assert.equal(outcome.success, false)
    assert.ok(outcome.error instanceof Error)
    assert.equal(outcome.error.cause, thing)
  }
})

test('a promise that onChunk returns is awaited before the next delta', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ text: 'x'.repeat(200), chunkChars: 1 })
  let running = 0
  let peak = 0
  let text = ''
  const outcome = await client.streamWithRetry(MESSAGES, async (delta) => {
    running++
    peak = Math.max(peak, running)
    await new Promise(setImmediate)
    text += delta
    running--
  })
  assert.deepEqual(outcome, { success: true, attempts: 1 })
  assert.equal(peak, 1)
  assert.equal(text, 'x'.repeat(200))
})

test('a slow onChunk slows the provider down', async (t) => {
  const { simulator, client } = await pair(t)
  // Far more than the kernel buffers of two sockets.
  const total = 80_000_000
  simulator.script({ text: 'x'.repeat(20_000), chunkChars: 20_000, repeat: total / 20_000 })
  let release
  const gate = new Promise((resolve) => {
    release = resolve
  })
  let deltas = 0
  const outcome = client.streamWithRetry(MESSAGES, () => (++deltas === 1 ? gate : undefined))
  await until(() => deltas === 1)
  let sent = -1
  await until(async () => {
    const before = sent
    await new Promise((resolve) => setTimeout(resolve, 50))
    sent = simulator.requests[0].bytesSent
    return sent === before
  })
  assert.ok(sent < 60_000_000, `${sent} bytes were sent to a sleeping consumer`)
  release()
  assert.deepEqual(await outcome, { success: true, attempts: 1 })
  assert.equal(deltas, total / 20_000)
})

test('the deadline and close() end a call whose onChunk never returns', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: CHUNKS, chunkDelayMs: 10_000 })
  const never = () => new Promise(() => {})
  const outcome = await client.streamWithRetry(MESSAGES, never, null, { totalTimeoutMs: 50 })
  assert.deepEqual([outcome.success, outcome.error.phase], [false, 'total'])
  let started = false
  const closed = client.executeStream(MESSAGES, () => {
    started = true
    return never()
  })
  closed.catch(() => {})
  await until(() => started)
  await client.close()
  assert.equal((await failure(closed)).code, 'CLIENT_CLOSED')
})

test('executeStream makes exactly one attempt', async (t) => {
  const { simulator, client } = await pair(t)
  const deltas = []
  assert.equal(await client.executeStream(MESSAGES, (delta) => deltas.push(delta)), undefined)
  assert.deepEqual(deltas, CHUNKS)
  simulator.clear()
  simulator.setDefault({ status: 500 })
  const error = await failure(client.executeStream(MESSAGES))
  assert.equal(error.status, 500)
  assert.equal(error.attempts.length, 1)
  assert.equal(simulator.requests.length, 1)
  simulator.setDefault({ chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'reset' } })
  const cut = await failure(client.executeStream(MESSAGES, () => {}))
  assert.ok(cut instanceof StreamInterruptedError)
  assert.equal(cut.partial, CHUNKS.slice(0, 2).join(''))
})

test('an error has the request id and the history of its attempts', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 1 })
  simulator.setDefault({ status: 500, headers: { 'x-request-id': 'req-of-the-provider' } })
  const { error } = await client.streamWithRetry(MESSAGES)
  assert.ok(error instanceof HolySheepError)
  assert.equal(error.requestId, 'req-of-the-provider')
  assert.deepEqual(
    error.attempts.map(({ attempt, outcome, status, requestId }) => [attempt, outcome, status, requestId]),
    [1, 2].map((attempt) => [attempt, 'SERVER_ERROR', 500, 'req-of-the-provider']),
  )
})

test('isRetryable accepts a code or status, as a number or a string', () => {
  const client = new HolySheepStreamingClient(KEY)
  for (const value of [408, 429, 500, 502, 503, 504, 520, 524, 529]) {
    for (const error of [{ code: value }, { status: value }, { code: `${value}` }, { status: `${value}` }]) {
      assert.equal(client.isRetryable(error), true, JSON.stringify(error))
    }
  }
  for (const code of ['ECONNRESET', 'ECONNREFUSED', 'ETIMEDOUT', 'ENOTFOUND', 'EPIPE', 'UND_ERR_SOCKET', 'TIMEOUT']) {
    assert.equal(client.isRetryable(Object.assign(new Error(), { code })), true, code)
  }
  for (const error of [
    { code: 400 },
    { status: '401' },
    { code: 403 },
    { status: 404 },
    { code: 422 },
    { code: 501 },
  ]) {
    assert.equal(client.isRetryable(error), false, JSON.stringify(error))
  }
  for (const error of [null, undefined, 429, 'ECONNRESET', {}, new Error('500'), { code: 'NOPE' }, { code: {} }]) {
    assert.equal(client.isRetryable(error), false)
  }
  // fetch() hides the code in the cause.
  assert.equal(client.isRetryable(new TypeError('fetch failed', { cause: { code: 'ECONNRESET' } })), true)
  assert.equal(client.isRetryable({ status: 429, code: 'insufficient_quota' }), false)
})

test('isRetryable agrees with what the client itself retries', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  for (const [scenario, retryable] of [
    [{ status: 500 }, true],
    [{ status: 501 }, false],
    [{ status: 429 }, true],
    [{ status: 401 }, false],
    [{ connectReset: true }, true],
    [{ status: 429, body: { error: { message: 'x', code: 'insufficient_quota' } } }, false],
  ]) {
    simulator.script(scenario)
    assert.equal(client.isRetryable(await failure(client.chat(REQUEST))), retryable, JSON.stringify(scenario))
  }
})

test('sleep resolves after the delay', async () => {
  const client = new HolySheepStreamingClient(KEY)
  const since = performance.now()
  await client.sleep(20)
  assert.ok(performance.now() - since >= 19)
  await client.sleep(0)
  for (const bad of [-1, Number.NaN, '5', undefined]) {
    assert.equal((await failure(client.sleep(bad))).code, 'INVALID_ARGUMENT')
  }
})

test('changed properties apply from the next call on', async (t) => {
  const first = await provider(t)
  const second = await provider(t, { apiKey: 'sk-second' })
  const client = clientOf(t, first, { ...QUICK })
  first.setDefault({ status: 500 })
  client.maxRetries = 1
  assert.equal((await client.streamWithRetry(MESSAGES)).attempts, 2)
  client.baseDelay = 40
  first.clear()
  await client.streamWithRetry(MESSAGES)
  assert.ok(first.requests[1].atMs - first.requests[0].atMs >= 40)
  client.baseUrl = second.url
  client.apiKey = ' sk-second '
  assert.deepEqual([client.baseUrl, client.apiKey], [second.url, 'sk-second'])
  assert.deepEqual(await client.streamWithRetry(MESSAGES), { success: true, attempts: 1 })
})

test('attempts counts those that were made, even if the callback throws or the call is aborted', async () => {
  const simulator = await startSimulator({ answer: 'one two three' })
  const events = []
  const onEvent = ({ type }) => events.push(type)
  const client = new HolySheepStreamingClient('key', { baseUrl: simulator.url, retry: { baseDelayMs: 1 }, onEvent })
  const messages = [{ role: 'user', content: 'Hi' }]
  simulator.script({ status: 503 }, { status: 503 })
  const thrown = await client.streamWithRetry(messages, () => {
    throw new Error('enough')
  })
  assert.deepEqual([thrown.success, thrown.attempts, simulator.requests.length], [false, 3, 3])
  simulator.clear()
  simulator.script({ status: 429, retryAfter: 9 })
  events.length = 0
  const waiting = new AbortController()
  const call = client.streamWithRetry(messages, () => {}, null, { signal: waiting.signal })
  await until(() => events.includes('wait'))
  waiting.abort()
  const aborted = await call
  assert.deepEqual([aborted.success, aborted.attempts, simulator.requests.length], [false, 1, 1])
  await simulator.close()
})
