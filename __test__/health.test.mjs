// Health probes of endpoints, over real sockets.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { HolySheepStreamingClient } from '../index.mjs'
import { root, run } from './support/child.mjs'
import { clientOf, clockOf, failure, KEY, provider, REQUEST, until } from './support/provider.mjs'

/** The number of requests for the list of models. */
const probes = ({ requests }) => requests.filter(({ path }) => path === '/v1/models').length

async function pairOf(t, options) {
  const [a, b] = [await provider(t, { apiKey: 'key-of-a' }), await provider(t)]
  const endpoints = [
    { name: 'a', baseUrl: a.url, apiKey: 'key-of-a' },
    { name: 'b', baseUrl: b.url },
  ]
  return { a, b, client: clientOf(t, a, { baseUrl: undefined, endpoints, ...options }) }
}

test('healthCheck reports whether each endpoint answers', async (t) => {
  const { b, client } = await pairOf(t)
  const both = await client.healthCheck()
  assert.deepEqual(
    both.map(({ latencyMs, ...rest }) => ({ ...rest, timed: Number.isFinite(latencyMs) && latencyMs >= 0 })),
    [
      { endpoint: 'a', healthy: true, status: 200, timed: true },
      { endpoint: 'b', healthy: true, status: 200, timed: true },
    ],
  )
  const { headers } = b.requests[0]
  for (const name of ['authorization', 'content-type', 'idempotency-key']) assert.equal(headers[name], undefined, name)
  await b.close()
  const [, dead] = await client.healthCheck()
  assert.deepEqual([dead.healthy, dead.code, dead.status], [false, 'ECONNREFUSED', undefined])
  assert.match(dead.error, /refused/)
})

test('a probe brings an endpoint back before the timeout of its breaker', async (t) => {
  const events = []
  const circuitBreaker = { failureThreshold: 1, timeout: 600_000 }
  const { a, client } = await pairOf(t, {
    healthCheckMs: 20,
    circuitBreaker,
    onEvent: (event) => events.push(event),
  })
  a.script({ status: 503 })
  const stream = client.stream(REQUEST)
  await stream.text()
  assert.equal((await stream.result).endpoint, 'b')
  await until(() => client.metrics().breakers[0].state === 'HALF_OPEN', 'the probe')
  const next = client.stream(REQUEST)
  await next.text()
  assert.equal((await next.result).endpoint, 'a')
  const changes = events.filter(({ type }) => type === 'circuit').map(({ from, to, call }) => [from, to, typeof call])
  assert.deepEqual(changes, [
    ['CLOSED', 'OPEN', 'string'],
    ['OPEN', 'HALF_OPEN', 'undefined'],
    ['HALF_OPEN', 'CLOSED', 'string'],
  ])
})

test('closing a client stops its probes, including one in flight', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const { a, b, client } = await pairOf(t, { healthCheckMs: 10 })
  while (probes(a) < 3 || probes(b) < 3) await clock.advance(10)
  await client.close()
  assert.equal((await failure(client.healthCheck())).code, 'CLIENT_CLOSED')
  // After this step the probes in flight have ended.
  await clock.advance(0)
  const before = probes(a) + probes(b)
  await clock.advance(1000)
  assert.equal(probes(a) + probes(b), before)
  clock.restore()
  // An endpoint that accepts connections and never answers.
  const silent = createServer((socket) => t.after(() => socket.destroy())).listen(0, '127.0.0.1')
  t.after(() => silent.close())
  await once(silent, 'listening')
  const waiting = new HolySheepStreamingClient(KEY, { baseUrl: `http://127.0.0.1:${silent.address().port}/v1` })
  const check = waiting.healthCheck()
  await once(silent, 'connection')
  await waiting.close()
  assert.equal((await failure(check)).code, 'CLIENT_CLOSED')
})

test('an interval that is too short is rejected by name', () => {
  for (const healthCheckMs of [0, 9, NaN]) {
    assert.throws(() => new HolySheepStreamingClient(KEY, { healthCheckMs }), {
      name: 'RangeError',
      message: `healthCheckMs: got ${healthCheckMs}; accepted: whole milliseconds from 10 to 604800000`,
    })
  }
})

test('probes do not keep a process alive', async () => {
  const { code, stdout, stderr } = await run(`
    const probed = new HolySheepStreamingClient('sk-test', { baseUrl: simulator.url, healthCheckMs: 10 })
    while (simulator.requests.length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
    console.log('probed')
  `)
  assert.deepEqual([code, stdout, stderr], [0, 'probed\n', ''])
})

test('an unreferenced client is garbage-collected and stops probing', async () => {
  const { code, stdout, stderr } = await run(`
    import { testClock } from './simulator.mjs'
    import { setFlagsFromString } from 'node:v8'
    import { runInNewContext } from 'node:vm'
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc')
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
    const make = () => new WeakRef(new HolySheepStreamingClient('sk-test', { baseUrl: simulator.url, healthCheckMs: 10 }))
    const clock = testClock({ settleMs: 5 })
    const unreferenced = make()
    while (simulator.requests.length < 3) await clock.advance(10)
    for (let i = 0; unreferenced.deref() && i < 100; i++) { await pause(10); gc() }
    // After this step the probes in flight have ended.
    await clock.advance(0)
    const before = simulator.requests.length
    await clock.advance(1000)
    console.log(unreferenced.deref() === undefined, simulator.requests.length - before)
  `)
  assert.deepEqual([code, stdout, stderr], [0, 'true 0\n', ''])
})

test('the probes of a worker end with it', async (t) => {
  const simulator = await provider(t)
  const script = `
    const { HolySheepStreamingClient } = require(${JSON.stringify(join(root, 'dist/index.js'))})
    globalThis.client = new HolySheepStreamingClient('sk-test', { baseUrl: '${simulator.url}', healthCheckMs: 10 })
    setInterval(() => {}, 1000)
  `
  const worker = new Worker(script, { eval: true })
  await until(() => probes(simulator) > 2, 'the third probe')
  await worker.terminate()
  const before = probes(simulator)
  // Twenty probes of another client at the same interval.
  const other = await provider(t)
  clientOf(t, other, { healthCheckMs: 10 })
  await until(() => probes(other) >= 20, 'the probes of the other client')
  // A probe in flight may be recorded late.
  assert.ok(probes(simulator) <= before + 1, `${probes(simulator)} after ${before}`)
})
