// An outage of the primary route, told by what both providers have seen, on a test clock: 6 s with 50 calls a second,
// a breaker that stays open for 1 s, silence for 200 ms. Time goes on when all calls wait for it and nothing else.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startSimulator } from '../simulator.mjs'
import { ANSWER, clientOf, clockOf, PIECES, provider, REQUEST, until } from './support/provider.mjs'

const OUTAGE_MS = 6000
const CALL_EVERY_MS = 20
const PROBE_INTERVAL_MS = 1000
/** Retries that the budget allows beyond its share of the calls: 10 a second over its window of 10 s. */
const BUDGET_FLOOR = 100

const idsOf = ({ requests }) => requests.map(({ headers }) => headers['x-client-request-id']).filter(Boolean)

/** Who answers one call. */
async function answerer(client) {
  const stream = client.stream(REQUEST)
  assert.equal(await stream.text(), ANSWER)
  return (await stream.result).endpoint
}

/** Calls at their rate for a while; resolves when all are answered. `rest` resolves when they wait for time alone. */
async function calls(client, clock, ms, rest) {
  const answers = []
  let open = 0
  const began = clock.elapsedMs
  const step = async () => {
    await rest(() => open)
    await clock.advance(CALL_EVERY_MS)
  }
  while (clock.elapsedMs - began < ms) {
    open++
    answers.push(answerer(client).finally(() => open--))
    await step()
  }
  while (open > 0) await step()
  return { answers: await Promise.all(answers), tookMs: clock.elapsedMs - began }
}

async function scene(t, primary, options) {
  const clock = clockOf(t, { settleMs: 5 })
  const fallback = await provider(t)
  /** The requests to the primary that were made before its breaker opened, and after. */
  const attempts = { before: [], after: [] }
  /** The calls whose last attempt is one at the primary. */
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
  for (let call = 0; call < 5; call++) assert.equal(await answerer(client), 'primary')
  fallback.clear()
  const before = attempts.before.length
  const made = () => attempts.before.length + attempts.after.length - before
  /** Resolves when each call that is open waits at the primary, which has seen its request where it keeps a record. */
  const rest = (open) =>
    until(() => open() === atPrimary.size && (open() === 0 || idsOf(primary).length === made()), 'rest')
  return { client, fallback, attempts, outage: () => calls(client, clock, OUTAGE_MS, rest), clock }
}

/** What every outage must show. `seen` and `after`: requests to the primary, and those since its breaker had opened. */
function judge({ answers, tookMs }, { seen, after, fallbackSeen }) {
  assert.ok(answers.length > 50, `${answers.length} calls were made`)
  assert.deepEqual([...new Set(answers)], ['fallback'], 'all are answered by the fallback')
  const probes = Math.ceil(tookMs / PROBE_INTERVAL_MS)
  assert.ok(after >= 1 && after <= probes, `${after} requests since the breaker had opened, at most ${probes}`)
  const most = 1.2 * answers.length + BUDGET_FLOOR
  assert.ok(seen + fallbackSeen <= most, `${seen} and ${fallbackSeen} requests, at most ${most}`)
}

describe('an outage of the primary', () => {
  for (const [what, down, options] of [
    ['that answers with 503', { status: 503 }, {}],
    ['that is silent', { hang: true }, { firstTokenTimeoutMs: 500 }],
  ]) {
    test(`${what} is bridged by the fallback, and the primary is used again an interval later`, async (t) => {
      const primary = await provider(t)
      const { client, fallback, attempts, outage, clock } = await scene(t, primary, options)
      primary.clear()
      primary.setDefault(down)
      const made = await outage()
      const seen = idsOf(primary)
      const after = seen.filter((id) => !attempts.before.includes(id)).length
      judge(made, { seen: seen.length, after, fallbackSeen: idsOf(fallback).length })
      primary.setDefault({ chunks: PIECES })
      await clock.advance(PROBE_INTERVAL_MS)
      assert.deepEqual([await answerer(client), await answerer(client)], ['primary', 'primary'])
    })
  }

  test('that refuses connections is bridged by the fallback, and found by a health probe when it is back', async (t) => {
    const first = await provider(t)
    const { client, fallback, attempts, outage, clock } = await scene(t, first, {
      healthCheckMs: PROBE_INTERVAL_MS,
      // The probes alone bring it back.
      circuitBreaker: { timeout: 600_000 },
    })
    await first.close()
    const made = await outage()
    // Who refuses keeps no record: the attempts stand for it.
    const { after, before } = attempts
    assert.equal(after.length, 0)
    judge(made, { seen: before.length, after: 1, fallbackSeen: idsOf(fallback).length })
    const back = await startSimulator({ port: first.port, default: { chunks: PIECES } })
    t.after(() => back.close())
    const probed = async () => {
      await clock.advance(PROBE_INTERVAL_MS)
      return client.metrics().breakers[0].state === 'HALF_OPEN'
    }
    await until(probed, 'the probe')
    assert.deepEqual([...new Set(back.requests.map(({ method }) => method))], ['GET'], 'no call had to find out')
    assert.deepEqual([await answerer(client), await answerer(client)], ['primary', 'primary'])
    assert.equal(client.metrics().breakers[0].state, 'CLOSED')
  })
})
