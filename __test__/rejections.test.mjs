// How a rejection by one of the client's limits is answered: stream.pipe(res) with a status, toSSEResponse() with an event.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import clientErrors from '../dist/client-error.js'
import { QueueFullError, RateLimitError } from '../index.mjs'
import { eventsOf, serve } from './support/http-server.mjs'
import { ANSWER, clientOf, manualProvider, QUICK, REQUEST, until } from './support/provider.mjs'

const PRICES = { 'gpt-4.1': { input: 1, output: 1 } }
/** Every call needs 50 tokens for its answer and a few for its prompt, and reserves as many millionths of a dollar. */
const CALL = { ...REQUEST, max_tokens: 50 }
const cost = (cap) => ({ cost: { prices: PRICES, ...cap } })
const [ENOUGH_FOR_ONE, TOO_LITTLE] = [100 / 1e6, 20 / 1e6]
/** A bucket of one request that does not refill during the test. */
const bucket = (options) => ({ rateLimit: { capacity: 1, refillRate: 0.001, ...options } })

/** Starts a call that is not answered. */
const occupy = async (client, manual) => {
  client.stream(CALL, { totalTimeoutMs: 60_000, tenant: 'a' }).result.catch(() => {})
  await until(() => manual.requests.length === 1)
}
/** Makes a call that the provider rejects. */
const reject = (status, headers) => async (client, manual) => {
  const { result } = client.stream(CALL, { maxRetries: 0 })
  const ended = result.catch(() => {})
  await until(() => manual.requests.length === 1)
  manual.requests[0].response.writeHead(status, headers).end('{}')
  await ended
}
const close = (client) => client.close()

const SECOND = (wait) => wait === '1'
const NONE = (wait) => wait === null
const upTo = (seconds) => (wait) => Number(wait) >= 1 && Number(wait) <= seconds

for (const [name, options, prepare, status, type, code, wait] of [
  // The service is busy.
  ['a full queue', { maxConcurrent: 1, maxQueue: 0 }, occupy, 503, 'service_unavailable', 'QUEUE_FULL', SECOND],
  ['a full queue of the rate limit', bucket({ maxQueue: 0 }), occupy, 503, 'service_unavailable', 'QUEUE_FULL', SECOND],
  [
    'a deadline that passes in the queue',
    { maxConcurrent: 1, totalTimeoutMs: 50 },
    occupy,
    503,
    'service_unavailable',
    'TIMEOUT',
    SECOND,
  ],
  [
    'a deadline that passes in the queue of the rate limit',
    { ...bucket(), totalTimeoutMs: 50 },
    occupy,
    503,
    'service_unavailable',
    'TIMEOUT',
    SECOND,
  ],
  [
    'an open breaker',
    { circuitBreaker: { failureThreshold: 1, openMs: 30_000 } },
    reject(500),
    503,
    'service_unavailable',
    'CIRCUIT_OPEN',
    upTo(30),
  ],
  [
    "the client's cost cap",
    cost({ hardCapUsd: ENOUGH_FOR_ONE }),
    occupy,
    503,
    'service_unavailable',
    'COST_CAP',
    upTo(86_400),
  ],
  [
    "the client's cost cap, which is never lifted",
    cost({ hardCapUsd: ENOUGH_FOR_ONE, window: 'total' }),
    occupy,
    503,
    'service_unavailable',
    'COST_CAP',
    NONE,
  ],
  ['a client that was closed', {}, close, 503, 'service_unavailable', 'CLIENT_CLOSED', SECOND],
  // The tenant has used up its own limit.
  [
    "the tenant's cost cap",
    cost({ tenantCapUsd: ENOUGH_FOR_ONE }),
    occupy,
    429,
    'insufficient_quota',
    'COST_CAP',
    upTo(86_400),
  ],
  // The provider has asked for a longer pause than the client waits.
  [
    'a pause of the provider',
    {},
    reject(429, { 'retry-after': '120' }),
    429,
    'rate_limit_error',
    'RATE_LIMITED',
    upTo(120),
  ],
  // No wait helps.
  [
    'more tokens than the rate limit holds',
    { rateLimit: { tokensPerMinute: 40, requestsPerMinute: 60 } },
    undefined,
    400,
    'invalid_request_error',
    'RATE_LIMIT_NEVER_FITS',
    NONE,
  ],
  [
    "more than the client's cost cap",
    cost({ hardCapUsd: TOO_LITTLE }),
    undefined,
    400,
    'invalid_request_error',
    'COST_CAP',
    NONE,
  ],
  [
    "more than the tenant's cost cap",
    cost({ tenantCapUsd: TOO_LITTLE }),
    undefined,
    400,
    'invalid_request_error',
    'COST_CAP',
    NONE,
  ],
]) {
  test(`${name} is answered with ${status}`, async (t) => {
    const manual = await manualProvider(t)
    const client = clientOf(t, manual, { ...QUICK, ...options })
    await prepare?.(client, manual)
    const sent = manual.requests.length
    const stream = () => client.stream(CALL, { tenant: 'a' })
    const { url } = await serve(t, async (res, req) => {
      if (req.url === '/pipe') return stream().pipe(res)
      const response = stream().toSSEResponse()
      res.writeHead(response.status, Object.fromEntries(response.headers))
      Readable.fromWeb(response.body).pipe(res)
    })

    const response = await fetch(`${url}/pipe`)
    const body = await response.text()
    assert.deepEqual(
      [response.status, response.headers.get('content-type')],
      [status, 'application/json; charset=utf-8'],
    )
    assert.ok(wait(response.headers.get('retry-after')), `retry-after: ${response.headers.get('retry-after')}`)
    const { error } = JSON.parse(body)
    assert.deepEqual([Object.keys(error), error.type, error.code], [['message', 'type', 'code', 'param'], type, code])

    const events = await fetch(`${url}/events`)
    assert.deepEqual([events.status, events.headers.get('content-type')], [200, 'text/event-stream; charset=utf-8'])
    assert.deepEqual(eventsOf(await events.text()), [{ event: 'error', data: body }])
    assert.equal(manual.requests.length, sent, 'nothing was sent')
  })
}

test('a deadline that passes at the provider is a timeout of the model', async (t) => {
  const manual = await manualProvider(t)
  const client = clientOf(t, manual, { totalTimeoutMs: 50 })
  const { url } = await serve(t, (res) => client.stream(CALL).pipe(res))
  const response = await fetch(url)
  assert.deepEqual([response.status, response.headers.get('retry-after')], [504, null])
  assert.deepEqual((await response.json()).error.type, 'timeout')
})

test('a rejection says whose limit it was', async (t) => {
  const manual = await manualProvider(t)
  for (const [options, scope] of [
    [{ maxConcurrent: 1, maxQueue: 0 }, 'client'],
    [cost({ hardCapUsd: ENOUGH_FOR_ONE }), 'client'],
    [cost({ tenantCapUsd: ENOUGH_FOR_ONE }), 'tenant'],
    [cost({ hardCapUsd: 2 * ENOUGH_FOR_ONE, tenantCapUsd: ENOUGH_FOR_ONE }), 'tenant'],
  ]) {
    manual.requests.length = 0
    const client = clientOf(t, manual, options)
    await occupy(client, manual)
    const error = await client
      .stream(CALL, { tenant: 'a' })
      .text()
      .catch((error) => error)
    assert.equal(error.scope, scope)
    if (scope === 'tenant') {
      // Another tenant is not concerned.
      const other = client.stream(CALL, { tenant: 'b' }).text()
      await until(() => manual.requests.length === 2)
      manual.requests[1].answer(ANSWER)
      assert.equal(await other, ANSWER)
    }
  }
})

test("any limit of a tenant's own is 429, whichever error it is", () => {
  for (const [error, data, status, wait] of [
    [new QueueFullError('x'), { code: 'QUEUE_FULL' }, 429, 1],
    [new RateLimitError('x'), { code: 'RATE_LIMITED', retryAfterMs: 2500 }, 429, 3],
    [new QueueFullError('x'), { code: 'RATE_LIMIT_NEVER_FITS' }, 400, undefined],
  ]) {
    const answer = clientErrors.clientErrorOf(Object.assign(error, { scope: 'tenant', ...data }))
    assert.deepEqual([answer.status, answer.retryAfterS], [status, wait], data.code)
  }
})
