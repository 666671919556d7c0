// Fallback endpoints and models, and what each request carries.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import { ANSWER, clientOf, failure, KEY, MESSAGES, pair, provider, QUICK, REQUEST, until } from './support/provider.mjs'

async function two(t, options = {}) {
  const [a, b] = [await provider(t), await provider(t)]
  const endpoints = [
    { name: 'first', baseUrl: a.url, apiKey: 'sk-a' },
    { name: 'second', baseUrl: b.url, apiKey: 'sk-b', models: { 'gpt-4.1': 'vendor/gpt-4.1' } },
  ]
  const client = new HolySheepStreamingClient({ endpoints, ...QUICK, ...options })
  t.after(() => client.close())
  return { a, b, client }
}

test('the next endpoint answers when the first one fails, with its own model name', async (t) => {
  const { a, b, client } = await two(t)
  a.setDefault({ status: 503 })
  const stream = client.stream(REQUEST)
  assert.equal(await stream.text(), ANSWER)
  const { endpoint, model, attempts } = await stream.result
  assert.equal(endpoint, 'second')
  assert.equal(model, 'vendor/gpt-4.1')
  assert.equal(attempts.at(-1).outcome, 'complete')
  assert.equal(b.requests[0].json.model, 'vendor/gpt-4.1')
  assert.equal(b.requests[0].headers.authorization, 'Bearer sk-b')
})

test('a rejected key fails over to an endpoint with another key', async (t) => {
  const { a, b, client } = await two(t)
  a.setDefault({ status: 401 })
  assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
  assert.deepEqual([a.requests.length, b.requests.length], [1, 1])
})

test('an invalid request does not fail over', async (t) => {
  const { a, b, client } = await two(t)
  a.setDefault({ status: 400 })
  assert.equal((await failure(client.chat(REQUEST))).status, 400)
  assert.deepEqual([a.requests.length, b.requests.length], [1, 0])
})

test('the next model answers when the first one fails', async (t) => {
  const { simulator, client } = await pair(t, { fallbackModels: ['small', 'tiny'], maxRetries: 0 })
  simulator.script({ status: 500 }, { status: 404 })
  const stream = client.stream(REQUEST)
  await stream.text()
  assert.deepEqual(
    simulator.requests.map(({ json }) => json.model),
    ['gpt-4.1', 'small', 'tiny'],
  )
  assert.equal((await stream.result).model, 'tiny')
})

test('executeStream does not fail over', async (t) => {
  const { a, b, client } = await two(t, { fallbackModels: ['small'] })
  a.setDefault({ status: 500 })
  await failure(client.executeStream(MESSAGES))
  assert.deepEqual([a.requests.length, b.requests.length], [1, 0])
})

test('retries of a request share an idempotency key, and another endpoint gets another one', async (t) => {
  const { a, b, client } = await two(t, { maxRetries: 2 })
  a.setDefault({ status: 500 })
  b.setDefault({ status: 500 })
  await failure(client.chat(REQUEST))
  const keys = (simulator) => new Set(simulator.requests.map(({ headers }) => headers['idempotency-key']))
  assert.ok(a.requests.length + b.requests.length >= 3)
  assert.equal(keys(a).size, 1)
  assert.equal(keys(b).size, 1)
  assert.notDeepEqual(keys(a), keys(b))
  const all = [...a.requests, ...b.requests].map(({ headers }) => headers['x-client-request-id'])
  assert.equal(new Set(all).size, all.length)
})

test('two calls have different idempotency keys, and an explicit key is used', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({}, {}, { status: 500 })
  await client.chat(REQUEST)
  await client.chat(REQUEST)
  await client.chat(REQUEST, { idempotencyKey: 'order-17' })
  const [first, second, third, fourth] = simulator.requests.map(({ headers }) => headers['idempotency-key'])
  assert.notEqual(first, second)
  assert.deepEqual([third, fourth], ['order-17', 'order-17'])
})

test('headers of the client and of the call are sent, and those of the call take precedence', async (t) => {
  const { simulator, client } = await pair(t, { headers: { 'x-a': '1', 'X-B': '1' } })
  await client.chat(REQUEST, { headers: { 'x-b': 'hai', 'x-c': '3' } })
  const { headers } = simulator.requests[0]
  assert.deepEqual([headers['x-a'], headers['x-b'], headers['x-c']], ['1', 'hai', '3'])
  assert.match(headers['user-agent'], /^holysheep/)
})

test('an endpoint that refuses connections fails over to the next one', async (t) => {
  const b = await provider(t)
  const gone = { url: 'http://127.0.0.1:1/v1' }
  const client = clientOf(t, b, { baseUrl: undefined, endpoints: [gone.url, b.url] })
  assert.equal((await client.chat(REQUEST)).choices[0].message.content, ANSWER)
  const alone = new HolySheepStreamingClient(KEY, { baseUrl: gone.url, maxRetries: 0 })
  const error = await failure(alone.chat(REQUEST))
  assert.deepEqual([error.name, error.code], ['ConnectionError', 'ECONNREFUSED'])
  assert.equal(alone.isRetryable(error), true)
})

test('a host that does not exist fails with ENOTFOUND', async () => {
  const client = new HolySheepStreamingClient(KEY, { baseUrl: 'http://no-such-host.invalid/v1', maxRetries: 0 })
  const error = await failure(client.chat(REQUEST))
  assert.deepEqual([error.name, error.code], ['ConnectionError', 'ENOTFOUND'])
})

test('connections are reused', async (t) => {
  const { simulator, client } = await pair(t)
  // A connection becomes free shortly after its answer, and a call before that opens another one.
  await until(async () => {
    simulator.clear()
    for (let i = 0; i < 5; i++) await client.chat(REQUEST)
    return new Set(simulator.requests.map(({ connection }) => connection)).size === 1
  }, 'five calls on one connection')
})
