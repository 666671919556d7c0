// An outage of the primary route, checked against the requests that both providers saw, on a test clock: 6 s with
// 50 calls per second and a breaker that stays open for 1 s. Time advances when all calls wait for nothing else.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startSimulator } from '../simulator.mjs'
import { ANSWER, CHUNKS, clientOf, clockOf, provider, REQUEST, until } from './support/provider.mjs'

const OUTAGE_MS = 6000
const CALL_EVERY_MS = 20
const PROBE_INTERVAL_MS = 1000
/** Retries that the budget allows beyond its share of the calls: 10 a second over its window of 10 s. */
const BUDGET_FLOOR = 100

const idsOf = ({ requests }) => requests.map(({ headers }) => headers['x-client-request-id']).filter(Boolean)

/** Makes one call and resolves to the endpoint that answers it. */
async function answeringEndpoint(client) {
  const stream = client.stream(REQUEST)
  assert.equal(await stream.text(), ANSWER)
  return (await stream.result).endpoint
}

/** Makes calls at their rate for `ms`; resolves when all are answered. `idle` resolves when they only wait for time. */
async function makeCalls(client, clock, ms, idle) {
  const answers = []
  let open = 0
  const startMs = clock.elapsedMs
  const step = async () => {
    await idle(() => open)
    await clock.advance(CALL_EVERY_MS)
  }
  while (clock.elapsedMs - startMs < ms) {
    open++
    answers.push(answeringEndpoint(client).finally(() => open--))
    await step()
  }
  while (open > 0) await step()
  return { answers: await Promise.all(answers), tookMs: clock.elapsedMs - startMs }
}

async function setUp(t, primary, options) {
  const clock = clockOf(t, { settleMs: 5 })
  const fallback = await provider(t)
  /** The requests to the primary that were made before its breaker opened, and after. */
  const attempts = { before: [], after: [] }
  /** The calls whose latest attempt is at the primary. */
  const atPrimary = new Set()
  let opened = false
  const client = clientOf(t, fallback, {
    baseUrl: undefined,
    endpoints: [
      { name: 'primary', baseUrl: primary.url },
      { name: 'fallback', baseUrl: fallback.url },
    ],
    circuitBreaker: { timeout: PROBE_INTERVAL_MS },
    onEvent({ type, endpoint, requestId, to, call }) {
      if (type === 'attempt' && endpoint === 'primary') atPrimary.add(call)
      else if (type === 'attempt' || type === 'complete') atPrimary.delete(call)
      if (type === 'circuit' && to === 'OPEN') opened = true
      if (type === 'attempt' && endpoint === 'primary') attempts[opened ? 'after' : 'before'].push(requestId)
    },
    ...options,
  })
  // Before the outage the primary answers.
  for (let call = 0; call < 5; call++) assert.equal(await answeringEndpoint(client), 'primary')
  fallback.clear()
  const before = attempts.before.length
  const sent = () => attempts.before.length + attempts.after.length - before
  /** Resolves when every open call waits at the primary, which has recorded its request if it records at all. */
  const idle = (open) =>
    until(() => open() === atPrimary.size && (open() === 0 || idsOf(primary).length === sent()), 'idle calls')
  return { client, fallback, attempts, outage: () => makeCalls(client, clock, OUTAGE_MS, idle), clock }
}

/** Asserts what holds in every outage. `seen`: requests to the primary; `after`: those since its breaker opened. */
function assertOutage({ answers, tookMs }, { seen, after, fallbackSeen }) {
  assert.ok(answers.length > 50, `${answers.length} calls were made`)
  assert.deepEqual([...new Set(answers)], ['fallback'], 'the fallback answers all of them')
  const probes = Math.ceil(tookMs / PROBE_INTERVAL_MS)
  assert.ok(after >= 1 && after <= probes, `${after} requests since the breaker opened, at most ${probes}`)
  const limit = 1.2 * answers.length + BUDGET_FLOOR
  assert.ok(seen + fallbackSeen <= limit, `${seen} and ${fallbackSeen} requests, at most ${limit}`)
}

describe('an outage of the primary', () => {
  for (const [what, down, options] of [
    ['that answers with 503', { status: 503 }, {}],
    ['that is silent', { hang: true }, { firstTokenTimeoutMs: 500 }],
  ]) {
    test(`${what} is bridged by the fallback, and the primary is used again an interval later`, async (t) => {
      const primary = await provider(t)
      const { client, fallback, attempts, outage, clock } = await setUp(t, primary, options)
      primary.clear()
      primary.setDefault(down)
      const result = await outage()
      const seen = idsOf(primary)
      const after = seen.filter((id) => !attempts.before.includes(id)).length
      assertOutage(result, { seen: seen.length, after, fallbackSeen: idsOf(fallback).length })
      primary.setDefault({ chunks: CHUNKS })
      await clock.advance(PROBE_INTERVAL_MS)
      assert.deepEqual([await answeringEndpoint(client), await answeringEndpoint(client)], ['primary', 'primary'])
    })
  }

  test('that refuses connections is bridged by the fallback, and a health probe detects its return', async (t) => {
    const first = await provider(t)
    const { client, fallback, attempts, outage, clock } = await setUp(t, first, {
      healthCheckMs: PROBE_INTERVAL_MS,
      // Only the health probes can bring it back.
      circuitBreaker: { timeout: 600_000 },
    })
    await first.close()
    const result = await outage()
    // A provider that refuses connections records nothing, so the attempts are counted instead.
    const { after, before } = attempts
    assert.equal(after.length, 0)
    assertOutage(result, { seen: before.length, after: 1, fallbackSeen: idsOf(fallback).length })
    const back = await startSimulator({ port: first.port, default: { chunks: CHUNKS } })
    t.after(() => back.close())
    const probed = async () => {
      await clock.advance(PROBE_INTERVAL_MS)
      return client.metrics().breakers[0].state === 'HALF_OPEN'
    }
    await until(probed, 'the probe')
    assert.deepEqual(
      [...new Set(back.requests.map(({ method }) => method))],
      ['GET'],
      'no call was needed to detect it',
    )
    assert.deepEqual([await answeringEndpoint(client), await answeringEndpoint(client)], ['primary', 'primary'])
    assert.equal(client.metrics().breakers[0].state, 'CLOSED')
  })
})
