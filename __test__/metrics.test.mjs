// The metrics of a client, as numbers and as Prometheus text.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientOf, failure, pair, provider, REQUEST, until } from './support/provider.mjs'

test('calls, attempts and retries by cause are counted, and tokens and durations by route', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ status: 503 }, { connectReset: true })
  await client.chat(REQUEST)
  const { usage } = await client.chat(REQUEST)
  const { calls, inFlight, successes, successAfterRetry, failures, ...counted } = client.metrics()
  assert.deepEqual([calls, inFlight, successes, successAfterRetry, failures], [2, 0, 2, 1, 0])
  assert.deepEqual([counted.attempts, counted.retries], [4, 2])
  assert.deepEqual(counted.retriesByCause, { SERVER_ERROR: 1, ECONNRESET: 1 })
  const [route, ...others] = counted.routes
  assert.deepEqual(others, [])
  assert.deepEqual([route.endpoint, route.model], [new URL(simulator.url).host, 'gpt-4.1'])
  assert.deepEqual([route.tokensIn, route.tokensOut], [2 * usage.prompt_tokens, 2 * usage.completion_tokens])
  assert.deepEqual([route.firstTokenMs.count, route.durationMs.count], [2, 4])
  assert.ok(route.durationMs.p50 <= route.durationMs.p95 && route.durationMs.p95 <= route.durationMs.p99)
  assert.equal(route.durationMs.buckets.at(-1).count, 4)
})

test('the metrics of an unused client are empty', async (t) => {
  const { client } = await pair(t)
  const metrics = client.metrics()
  assert.deepEqual([metrics.calls, metrics.routes, metrics.breakers, metrics.costUsd], [0, [], [], 0])
})

test('metrics survive a change of options', async (t) => {
  const { client } = await pair(t)
  await client.chat(REQUEST)
  client.maxRetries = 0
  await client.chat(REQUEST)
  assert.equal(client.metrics().calls, 2)
})

test('an aborted call does not count as a failure', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ hang: true })
  await failure(client.chat(REQUEST, { signal: AbortSignal.timeout(20) }))
  // The caller gets the error before the engine has cleaned up.
  await until(() => client.metrics().inFlight === 0, 'the end of the call')
  const { aborted, failures } = client.metrics()
  assert.deepEqual([aborted, failures], [1, 0])
})

/** Parses the text as Prometheus does: families are contiguous, and every sample belongs to a declared one. */
function parse(text) {
  assert.ok(text.endsWith('\n'))
  const samples = new Map()
  const types = new Map()
  let family
  for (const line of text.trimEnd().split('\n')) {
    const [, name, type] = line.match(/^# TYPE ([a-z_]+) (counter|gauge|histogram)$/) ?? []
    if (name) {
      assert.ok(!types.has(name), `${name} twice`)
      types.set(name, type)
      family = name
    } else if (!/^# HELP [a-z_]+ \S/.test(line)) {
      const [, sample, labels = '', value] =
        line.match(/^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (\+Inf|[-+.e\d]+)$/) ?? assert.fail(line)
      const base = types.get(family) === 'histogram' ? sample.replace(/_(bucket|sum|count)$/, '') : sample
      assert.equal(base, family, 'a sample follows its family')
      assert.ok(!samples.has(sample + labels), `${sample}${labels} twice`)
      samples.set(sample + labels, Number(value.replace('+Inf', 'Infinity')))
    }
  }
  return { samples, types }
}

test('the Prometheus text is well-formed, whatever the names of the routes', async (t) => {
  const simulator = await provider(t)
  const name = 'quo"te \\ and\nline'
  const client = clientOf(t, simulator, {
    baseUrl: undefined,
    endpoints: [{ name, baseUrl: simulator.url }],
    circuitBreaker: {},
  })
  simulator.script({ status: 500 })
  await client.chat(REQUEST)
  const { samples, types } = parse(client.metricsText())
  for (const [family, type] of types) {
    assert.match(family, /^holysheep_/)
    assert.equal(family.endsWith('_total'), type === 'counter', family)
  }
  const labels = 'endpoint="quo\\"te \\\\ and\\nline",model="gpt-4.1"'
  assert.equal(samples.get(`holysheep_attempts_total{${labels}}`), 2)
  assert.equal(samples.get(`holysheep_attempt_duration_seconds_bucket{${labels},le="+Inf"}`), 2)
  assert.equal(samples.get(`holysheep_circuit_state{${labels},state="CLOSED"}`), 1)
  assert.equal(samples.get('holysheep_calls_total{outcome="success"}'), 1)
})
