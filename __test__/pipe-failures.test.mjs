// stream.pipe(res): the HTTP status of a failure before the first chunk.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventsOf, serve, textOf } from './support/http-server.mjs'
import { ANSWER, clientOf, KEY, manualProvider, provider, REQUEST, until } from './support/provider.mjs'

for (const [name, scenario, status, type, options, wait = null] of [
  ['a rejected request', { status: 400 }, 400, 'invalid_request_error'],
  [
    'a context that is too long',
    { status: 400, body: { error: { code: 'context_length_exceeded', message: 'x' } } },
    400,
    'invalid_request_error',
  ],
  ['an unknown model', { status: 404 }, 502, 'upstream_error'],
  ['a rejected key', { status: 401 }, 502, 'upstream_error'],
  ['a rate limit', { status: 429, retryAfter: 7 }, 429, 'rate_limit_error', {}, '7'],
  ['a rate limit without a wait', { status: 429 }, 429, 'rate_limit_error', {}, '1'],
  [
    'a request that never fits the rate limit',
    {},
    400,
    'invalid_request_error',
    { rateLimit: { tokensPerMinute: 5, requestsPerMinute: 5 } },
  ],
  ['an empty answer', { chunks: [] }, 502, 'upstream_error'],
  [
    'an exhausted quota',
    { status: 429, body: { error: { code: 'insufficient_quota', message: 'x' } } },
    503,
    'service_unavailable',
  ],
  ['a server error', { status: 500 }, 502, 'upstream_error'],
  ['a reset', { connectReset: true }, 502, 'upstream_error'],
  ['silence', { hang: true }, 504, 'timeout', { firstTokenTimeoutMs: 100 }],
  ['an HTML page', { html: true }, 502, 'upstream_error'],
]) {
  test(`${name} before the first chunk is answered with ${status}, as JSON without hosts or keys`, async (t) => {
    const simulator = await provider(t, { default: scenario })
    const client = clientOf(t, simulator, { maxRetries: 0, ...options })
    const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res))
    const response = await fetch(url)
    const text = await response.text()
    assert.equal(response.status, status)
    assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
    assert.equal(response.headers.get('cache-control'), 'no-store')
    assert.equal(response.headers.get('retry-after'), wait)
    const { error } = JSON.parse(text)
    assert.deepEqual(Object.keys(error), ['message', 'type', 'code', 'param'])
    assert.equal(error.type, type)
    assert.ok(!text.includes(String(simulator.port)) && !text.includes('127.0.0.1') && !text.includes(KEY))
    await until(() => outcomes.length === 1)
    assert.equal(outcomes[0].outcome, 'failed')
    assert.equal(outcomes[0].error.code, error.code)
  })
}

test('a full queue of the client is answered with 503 and a retry-after', async (t) => {
  const manual = await manualProvider(t)
  const client = clientOf(t, manual, { maxConcurrent: 1, maxQueue: 0 })
  const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res))
  const first = fetch(url)
  await until(() => manual.requests.length === 1)
  const response = await fetch(url)
  assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '1'])
  const { error } = await response.json()
  assert.deepEqual([error.code, error.type], ['QUEUE_FULL', 'service_unavailable'])
  manual.requests[0].answer(ANSWER)
  assert.equal(textOf(eventsOf(await (await first).text())), ANSWER)
  assert.deepEqual(outcomes[0].outcome, 'failed')
})

test("a tenant's cost cap is answered with 429, and with a retry-after where a wait helps", async (t) => {
  const simulator = await provider(t)
  const prices = { 'gpt-4.1': { input: 1, output: 1 } }
  for (const [window, tenantCapUsd, expected] of [
    ['minute', 100 / 1e6, (wait) => wait !== null && wait <= 60],
    ['month', 100 / 1e6, (wait) => wait !== null && wait <= 31 * 86_400],
    ['total', 100 / 1e6, (wait) => wait === null],
  ]) {
    const client = clientOf(t, simulator, { cost: { prices, window, tenantCapUsd } })
    const { url } = await serve(t, (res) => client.stream({ ...REQUEST, max_tokens: 50 }, { tenant: 'a' }).pipe(res))
    let response = await fetch(url)
    for (let calls = 0; response.status === 200 && calls < 1000; calls++) {
      await response.text()
      response = await fetch(url)
    }
    assert.equal(response.status, 429, window)
    const wait = response.headers.get('retry-after')
    assert.ok(expected(wait === null ? null : Number(wait)), `${window}: ${wait}`)
    assert.equal((await response.json()).error.code, 'COST_CAP')
  }
})

test('when every attempt fails, the last failure determines the status', async (t) => {
  const simulator = await provider(t, { default: { status: 429, retryAfterMs: 1 } })
  const client = clientOf(t, simulator, { maxRetries: 2 })
  const { url, outcomes } = await serve(t, (res) => client.stream(REQUEST).pipe(res))
  const response = await fetch(url)
  assert.equal(response.status, 429)
  assert.equal((await response.json()).error.code, 'RATE_LIMITED')
  await until(() => outcomes.length === 1)
  assert.equal(outcomes[0].error.code, 'RETRIES_EXHAUSTED')
})
