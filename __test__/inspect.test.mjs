// Every public object prints briefly and without keys, passwords, headers and prompts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import * as holysheep from '../index.mjs'
import { testClock } from '../simulator.mjs'
import { failure, KEY, provider, REQUEST } from './support/provider.mjs'

const OPTIONS = {
  baseUrl: 'http://127.0.0.1:9/v1',
  proxy: 'http://user:secret-of-the-proxy@127.0.0.1:9',
  headers: { 'x-tenant': 'secret-of-the-header' },
  retry: { baseDelayMs: 1 },
}
const SECRETS = [KEY, 'secret-of', 'Xin chào']

/** Everything that printing can reveal. */
const printed = (value) =>
  [
    inspect(value),
    inspect(value, { showHidden: true, depth: 9, getters: true }),
    inspect([value], { depth: 9 }),
    JSON.stringify(value),
    String(value),
    ...Object.values(value).map((member) => inspect(member, { depth: 9 })),
  ].join('\n')

function check(name, value, longest = 200) {
  const all = printed(value)
  for (const secret of SECRETS) assert.ok(!all.includes(secret), `${name} shows ${secret}: ${all}`)
  const short = inspect(value)
  assert.ok(short.length <= longest, `${name} is long: ${short}`)
  return short
}

test('clients, wrappers, breakers, limiters and queues print briefly and without secrets', (t) => {
  const {
    HolySheepStreamingClient,
    RateLimitedClient,
    ResilientStreamingClient,
    CircuitBreaker,
    HolySheepRetryManager,
    TimeoutAIManager,
    RetryAIManager,
    RetryConfig,
    ModelDegradationManager,
    HolySheepAIClient,
    MultiProviderRouter,
    BoundedRetryQueue,
    createClientWithTimeout,
  } = holysheep
  const instances = {
    HolySheepStreamingClient: new HolySheepStreamingClient(KEY, OPTIONS),
    RateLimitedClient: new RateLimitedClient(KEY, OPTIONS),
    ResilientStreamingClient: new ResilientStreamingClient(KEY, OPTIONS),
    CircuitBreaker: new CircuitBreaker(),
    HolySheepRetryManager: new HolySheepRetryManager(KEY, OPTIONS),
    TimeoutAIManager: new TimeoutAIManager(KEY, OPTIONS),
    RetryAIManager: new RetryAIManager(KEY, {}, OPTIONS),
    RetryConfig: new RetryConfig(),
    ModelDegradationManager: new ModelDegradationManager(KEY, undefined, OPTIONS),
    HolySheepAIClient: new HolySheepAIClient(KEY),
    MultiProviderRouter: new MultiProviderRouter(),
    BoundedRetryQueue: new BoundedRetryQueue({ apiKey: KEY }),
    createClientWithTimeout: createClientWithTimeout('chat', { apiKey: KEY }),
  }
  t.after(() =>
    Promise.all(Object.values(instances).map((it) => (typeof it.close === 'function' ? it.close() : undefined))),
  )
  // These two consist of plain settings, which are worth printing in full.
  const { MultiProviderRouter: router, BoundedRetryQueue: queue, ...short } = instances
  for (const [name, value] of Object.entries(short)) check(name, value)
  for (const value of [router, queue]) check(value.constructor.name, value, 1000)
  // Every exported class, except errors and ChatStream, which only a client creates.
  const isClass = (it) => typeof it === 'function' && /^class\b/.test(Function.prototype.toString.call(it))
  const classes = Object.entries(holysheep).filter(([, it]) => isClass(it))
  const names = classes.map(([name]) => name).filter((name) => !/Error$|^ChatStream$/.test(name))
  assert.deepEqual(
    names.filter((name) => !(name in instances)),
    [],
  )
})

test('a stream, its error and the simulator print without keys and prompts', async (t) => {
  const simulator = await provider(t, { apiKey: KEY })
  assert.equal(check('Simulator', simulator), `Simulator { url: '${simulator.url}' }`)
  const { HolySheepStreamingClient } = holysheep
  const client = new HolySheepStreamingClient(KEY, { ...OPTIONS, proxy: false, baseUrl: simulator.url, maxRetries: 0 })
  t.after(() => client.close())
  const stream = client.stream(REQUEST)
  assert.equal(check('ChatStream', stream), 'ChatStream { streaming }')
  await stream.text()
  assert.equal(check('ChatStream', stream), 'ChatStream { complete }')
  simulator.setDefault({ status: 401, body: `The key ${KEY} is wrong` })
  const failed = client.stream(REQUEST)
  check('an error', await failure(failed.text()), 2000)
  assert.equal(check('ChatStream', failed), 'ChatStream { failed }')
})

test('a snapshot contains no key', async (t) => {
  const simulator = await provider(t)
  const client = new holysheep.HolySheepStreamingClient(KEY, { baseUrl: simulator.url })
  t.after(() => client.close())
  const stream = client.stream(REQUEST)
  await stream.text()
  assert.ok(!inspect(stream.snapshot(), { depth: 9, showHidden: true }).includes(KEY))
})

test('a key passed in place of options does not appear in the error', () => {
  for (const make of [
    () => new holysheep.MultiProviderRouter(KEY),
    () => holysheep.createClientWithTimeout('chat', KEY),
    () => new holysheep.HolySheepStreamingClient({ apiKey: [KEY] }),
  ]) {
    assert.throws(make, (error) => !printed(error).includes(KEY))
  }
})

test('a test clock prints its elapsed time', (t) => {
  const clock = testClock()
  t.after(() => clock.restore())
  assert.equal(inspect(clock), 'TestClock { elapsedMs: 0 }')
})
