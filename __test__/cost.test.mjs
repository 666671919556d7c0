// The cost of calls, and the caps on it. A token of gpt-4.1 costs a millionth of a dollar here.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CostCapError, HolySheepStreamingClient } from '../index.mjs'
import {
  CHUNKS,
  clientOf,
  failure,
  KEY,
  MESSAGES,
  METHODS,
  pair,
  provider,
  QUICK,
  REQUEST,
  until,
} from './support/provider.mjs'

const PRICES = {
  'gpt-4.1': { input: 1, output: 1 },
  expensive: { input: 10, output: 10 },
  cheap: { input: 0.1, output: 0.1 },
}
const usage = (prompt_tokens, completion_tokens) => ({
  prompt_tokens,
  completion_tokens,
  total_tokens: prompt_tokens + completion_tokens,
})
const tokens = (usd) => Math.round(usd * 1e6)
const capped = (count, cost) => ({ cost: { hardCapUsd: count / 1e6, prices: PRICES, ...cost } })

test('a result has the cost of its call, and the client has the total', async (t) => {
  const { simulator, client } = await pair(t, { cost: { prices: PRICES } })
  simulator.setDefault({ chunks: CHUNKS, usage: usage(30, 12) })
  const stream = client.stream(REQUEST, { tenant: 'ann' })
  await stream.text()
  assert.equal(tokens((await stream.result).costUsd), 42)
  const completion = await client.chat(REQUEST)
  assert.equal(tokens(completion._cost_usd), 42)
  assert.ok(!Object.keys(completion).includes('_cost_usd'))
  const report = client.cost()
  assert.deepEqual([report.window, report.capUsd, report.reservedUsd], ['day', null, 0])
  assert.equal(report.since % 86_400_000, 0)
  assert.equal(tokens(report.spentUsd), 84)
  assert.equal(tokens(report.byTenant.ann.spentUsd), 42)
  assert.equal(tokens(report.byModel['gpt-4.1'].spentUsd), 84)
})

test("the catalogue's prices are the default, and a model without a price costs null", async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: CHUNKS, usage: usage(100_000, 0) })
  assert.equal((await client.chat(REQUEST))._cost_usd, 0.8)
  assert.equal((await client.chat({ model: 'strange', messages: MESSAGES }))._cost_usd, null)
  assert.equal(client.cost().spentUsd, 0.8)
})

test('a call that exceeds the cap is rejected before anything is sent, with the amounts in the error', async (t) => {
  const { simulator, client } = await pair(t, capped(100))
  for (const [method, call] of Object.entries({
    stream: () => client.stream({ ...REQUEST, max_tokens: 1000 }).text(),
    chat: () => client.chat({ ...REQUEST, max_completion_tokens: 1000 }),
  })) {
    const error = await failure(call())
    assert.ok(error instanceof CostCapError, `${method}: ${error.stack}`)
    assert.deepEqual([error.code, error.capUsd, error.spentUsd, error.window], ['COST_CAP', 0.0001, 0, 'day'])
    assert.ok(error.neededUsd > 0.001 && error.neededUsd < 0.0011, `${error.neededUsd}`)
    assert.equal(error.partial, undefined)
  }
  assert.equal(simulator.requests.length, 0)
})

test('the cap holds however many calls run at once', async (t) => {
  const simulator = await provider(t)
  let peak = 0
  const client = clientOf(t, simulator, {
    ...capped(2000),
    maxRetries: 1,
    onEvent() {
      const { spentUsd, reservedUsd } = client.cost()
      peak = Math.max(peak, tokens(spentUsd + reservedUsd))
    },
  })
  const faults = [
    { usage: usage(5, 20) },
    { usage: false },
    { status: 500 },
    { disconnect: { afterChunks: 3, how: 'reset' } },
    { disconnect: { afterChunks: 2, how: 'stall' } },
  ]
  for (let index = 0; index < 1000; index++)
    simulator.script({ chunks: CHUNKS, chunkDelayMs: index % 3, ...faults[index % 5] })
  const outcomes = []
  const one = async () => {
    for (let index = 0; index < 10; index++) {
      // Every fifth request has no max_tokens, and may reserve everything that is left.
      const request = index % 5 === 4 ? REQUEST : { ...REQUEST, max_tokens: 30 }
      // Every other call has enough time for a busy machine.
      const options = { totalTimeoutMs: index % 2 ? 300 : 60_000, idleTimeoutMs: 300 }
      outcomes.push(...(await Promise.allSettled([client.chat(request, options)])))
    }
  }
  await Promise.all(Array.from({ length: 20 }, one))
  const { spentUsd, reservedUsd } = client.cost()
  assert.ok(tokens(spentUsd) <= peak && peak <= 2000, `${spentUsd} ${peak}`)
  assert.equal(reservedUsd, 0)
  assert.ok(outcomes.some(({ reason }) => reason instanceof CostCapError))
  assert.ok(outcomes.some(({ status }) => status === 'fulfilled'))
})

test('a stream that reaches the cap is cut there, and the error has the text received', async (t) => {
  const { simulator, client } = await pair(t, capped(60))
  for (const method of ['chunks', 'textStream', 'streamWithRetry']) {
    const cappedClient = clientOf(t, simulator, capped(60))
    simulator.script({ chunks: ['word '], repeat: 100_000, chunkDelayMs: 1 })
    const deltas = []
    const error = await failure(METHODS[method](cappedClient, deltas))
    assert.ok(error instanceof CostCapError, `${method}: ${error.stack}`)
    assert.ok(error.partial.length > 50 && error.partial.length < 200, error.partial)
    assert.equal(error.partial, deltas.join(''))
    assert.equal(tokens(cappedClient.cost().spentUsd), 60)
  }
  await until(() => simulator.requests.every(({ endedBy }) => endedBy === 'client'))
  assert.equal(client.cost().spentUsd, 0)
})

test('an aborted call releases the unused part of its reservation', async (t) => {
  const { simulator, client } = await pair(t, capped(10_000))
  simulator.script({ chunks: CHUNKS, chunkDelayMs: 10_000 })
  const stream = client.stream({ ...REQUEST, max_tokens: 5000 })
  const text = failure(stream.text())
  await until(() => simulator.requests.length === 1)
  assert.ok(tokens(client.cost().reservedUsd) > 5000)
  stream.abort()
  await text
  await until(() => client.cost().reservedUsd === 0)
  const spent = tokens(client.cost().spentUsd)
  assert.ok(spent > 5 && spent < 40, `${spent}`)
})

test('past the soft limit the cheapest model of the chain answers, and onSoftLimit is called once', async (t) => {
  const softLimits = []
  const events = []
  const { simulator, client } = await pair(t, {
    model: 'expensive',
    fallbackModels: ['gpt-4.1', 'cheap'],
    cost: { prices: PRICES, softLimitUsd: 0.0005, onSoftLimit: (event) => softLimits.push(event) },
    onEvent: ({ type }) => events.push(type),
  })
  simulator.setDefault({ chunks: CHUNKS, usage: usage(40, 20) })
  const models = []
  for (let index = 0; index < 3; index++) {
    const { result } = client.stream(REQUEST)
    models.push((await result).attempts[0].model)
  }
  assert.deepEqual(models, ['expensive', 'cheap', 'cheap'])
  assert.equal(softLimits.length, 1)
  assert.equal(events.filter((type) => type === 'soft-limit').length, 1)
  const [{ type, window, softLimitUsd, spentUsd }] = softLimits
  assert.deepEqual([type, window, softLimitUsd, tokens(spentUsd)], ['soft-limit', 'day', 0.0005, 600])
})

test('countTokens replaces the estimate, and its errors propagate to the call', async (t) => {
  const counted = []
  const countTokens = (model, text) => {
    counted.push([model, text])
    return 900
  }
  const { simulator, client } = await pair(t, { ...capped(1000, { countTokens }), fallbackModels: ['cheap'] })
  const content = [
    { type: 'text', text: 'Xin' },
    { type: 'image_url', image_url: { url: 'data:,' } },
  ]
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content },
  ]
  // A request that exceeds the cap with the first model goes to the cheaper one.
  assert.equal((await client.chat({ messages, max_tokens: 200 }))._model, 'cheap')
  assert.deepEqual(counted, [
    ['gpt-4.1', 'Be brief.\nXin'],
    ['cheap', 'Be brief.\nXin'],
  ])
  const alone = clientOf(t, simulator, capped(1000, { countTokens }))
  assert.ok((await failure(alone.chat({ ...REQUEST, max_tokens: 100 }))) instanceof CostCapError)
  await alone.chat({ ...REQUEST, max_tokens: 80 })
  assert.equal(simulator.requests.length, 2)
  for (const bad of [Number.NaN, -1, '5', undefined]) {
    const wrong = clientOf(t, simulator, capped(1000, { countTokens: () => bad }))
    const error = await failure(wrong.chat(REQUEST))
    assert.match(error.message, /^cost\.countTokens: got /)
  }
  const thrown = new Error('mine')
  const throwing = clientOf(t, simulator, capped(1000, { countTokens: () => assert.fail(thrown) }))
  assert.equal(await failure(throwing.chat(REQUEST)), thrown)
})

test('each tenant has its own cap', async (t) => {
  const { simulator, client } = await pair(t, { cost: { prices: PRICES, tenantCapUsd: 100 / 1e6 } })
  simulator.setDefault({ chunks: CHUNKS, usage: usage(30, 30) })
  const call = (tenant) => client.chat({ ...REQUEST, max_tokens: 50 }, { tenant })
  await call('ann')
  const error = await failure(call('ann'))
  assert.ok(error instanceof CostCapError)
  assert.deepEqual([tokens(error.capUsd), tokens(error.spentUsd)], [100, 60])
  await call('bob')
  await client.chat(REQUEST)
})

test('an invalid cost option is rejected where it is given', async (t) => {
  const simulator = await provider(t)
  const rejects = (options, message) => {
    assert.throws(() => new HolySheepStreamingClient(KEY, { baseUrl: simulator.url, ...QUICK, ...options }), {
      code: 'INVALID_ARGUMENT',
      message,
    })
  }
  rejects({ cost: { hardCapUsd: Number.NaN } }, /^cost\.hardCapUsd: got NaN/)
  rejects({ cost: { hardCapUsd: 1, softLimitUsd: 2 } }, /^cost\.softLimitUsd: got 2; accepted: at most hardCapUsd, 1/)
  rejects({ cost: 5 }, /^cost: got 5/)
  rejects({ cost: { countTokens: 5 } }, /^cost\.countTokens: got 5/)
  rejects(
    { cost: { hardCap: 5 } },
    /^cost\.hardCap: unknown option .did you mean hardCapUsd\?.; accepted: .*onSoftLimit/,
  )
  rejects({ cost: { prices: { m: 1 } } }, /^cost\.prices\['m'\]: got 1/)
  rejects(
    { cost: { hardCapUsd: 1 }, fallbackModels: ['strange'] },
    /^fallbackModels: got 'strange', which has no price/,
  )
  rejects({ tenant: 'x'.repeat(256) }, /^tenant: got /)
  const client = clientOf(t, simulator, { cost: { hardCapUsd: 1 } })
  const error = await failure(client.chat({ model: 'strange', messages: MESSAGES }))
  assert.match(error.message, /^request\.model: got 'strange', which has no price/)
  assert.equal(simulator.requests.length, 0)
})
