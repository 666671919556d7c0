// ModelDegradationManager (HolySheep tutorial 003).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModelDegradationManager } from '../../index.mjs'
import { ANSWER, clockOf, failure, KEY, provider } from '../support/provider.mjs'

const user = (content) => [{ role: 'user', content }]
const SIMPLE = user('Cửa hàng mở cửa mấy giờ?')
const MODERATE = user('Giải thích chính sách đổi trả')
const COMPLEX = user('Phân tích và so sánh doanh thu của hai quý')
const CHAIN = ['gpt-4.1', 'claude-sonnet-4.5', 'gemini-2.5-flash', 'deepseek-v3.2']

async function setup(t, options, simulatorOptions) {
  const simulator = await provider(t, simulatorOptions)
  const manager = new ModelDegradationManager(KEY, undefined, { baseUrl: simulator.url, ...options })
  t.after(() => manager.close())
  const models = () => simulator.requests.map(({ json }) => json.model)
  return { simulator, manager, models }
}

test('the default chain is the tutorial’s, with prices per million tokens', () => {
  const chain = ModelDegradationManager.DEFAULT_MODEL_CHAIN
  assert.deepEqual(
    chain.map((m) => [m.name, m.costPerMillionTokens, m.avgLatencyMs, m.capability, m.priority]),
    [
      ['gpt-4.1', 8, 800, 'complex', 1],
      ['claude-sonnet-4.5', 15, 1200, 'complex', 2],
      ['gemini-2.5-flash', 2.5, 400, 'moderate', 3],
      ['deepseek-v3.2', 0.42, 200, 'simple', 4],
    ],
  )
})

test('each complexity has its candidates, and a simple question tries the stronger models last', () => {
  const manager = new ModelDegradationManager(KEY)
  assert.deepEqual(manager.candidates('complex'), CHAIN)
  assert.deepEqual(manager.candidates('moderate'), CHAIN.slice(0, 3))
  assert.deepEqual(manager.candidates('simple'), ['deepseek-v3.2', 'gemini-2.5-flash', 'gpt-4.1', 'claude-sonnet-4.5'])
})

test('a simple question goes to the cheapest model, which does not count as a fallback', async (t) => {
  const { simulator, manager, models } = await setup(t)
  const result = await manager.callWithDegradation(SIMPLE)
  const { success, data, modelUsed, fallbackTriggered, originalComplexity, latencyMs } = result
  assert.deepEqual([success, data.choices[0].message.content], [true, ANSWER])
  assert.deepEqual([modelUsed, fallbackTriggered, originalComplexity], ['deepseek-v3.2', false, 'simple'])
  assert.ok(latencyMs > 0)
  assert.deepEqual(models(), ['deepseek-v3.2'])
  const { temperature, max_tokens } = simulator.requests[0].json
  assert.deepEqual([temperature, max_tokens], [0.7, 500])
})

test('the complexity is that of the user’s text, by keywords in any Unicode normalization form and by length', async (t) => {
  const { manager } = await setup(t)
  for (const [messages, complexity] of [
    [SIMPLE, 'simple'],
    [MODERATE, 'moderate'],
    [COMPLEX, 'complex'],
    [user('PHÂN TÍCH và SO SÁNH'.normalize('NFD')), 'complex'],
    [user('Analyze and compare'), 'complex'],
    [user('a'.repeat(151)), 'moderate'],
    [user('a'.repeat(501)), 'complex'],
    [[{ role: 'system', content: 'phân tích so sánh '.repeat(100) }, ...SIMPLE], 'simple'],
    [
      user([
        { type: 'text', text: 'Tổng hợp và đánh giá' },
        { type: 'image_url', image_url: { url: 'x' } },
      ]),
      'complex',
    ],
  ]) {
    const { originalComplexity } = await manager.callWithDegradation(messages)
    assert.equal(originalComplexity, complexity, JSON.stringify(messages).slice(0, 80))
  }
})

test('when a model fails the next one answers, and fallbackTriggered is true', async (t) => {
  const { simulator, manager, models } = await setup(t)
  simulator.script({ status: 503 }, { status: 429 })
  const result = await manager.callWithDegradation(COMPLEX)
  assert.deepEqual([result.modelUsed, result.fallbackTriggered], ['gemini-2.5-flash', true])
  assert.deepEqual(models(), CHAIN.slice(0, 3))
})

test('latencyMs covers only the model that answered', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.script({ status: 503, headersDelayMs: 400 }, { headersDelayMs: 100 })
  const since = performance.now()
  const { latencyMs } = await manager.callWithDegradation(COMPLEX)
  const tookMs = performance.now() - since
  assert.ok(latencyMs >= 90 && latencyMs <= tookMs - 390, `${latencyMs} of ${tookMs}`)
})

test('a simple question falls back to a healthy stronger model', async (t) => {
  const { simulator, manager } = await setup(t)
  simulator.script({ status: 500 }, { status: 500 })
  const result = await manager.callWithDegradation(SIMPLE)
  assert.deepEqual([result.modelUsed, result.fallbackTriggered], ['gpt-4.1', true])
})

test('the preferred model is tried first', async (t) => {
  const { simulator, manager, models } = await setup(t)
  const result = await manager.callWithDegradation(SIMPLE, 'claude-sonnet-4.5')
  assert.deepEqual([result.modelUsed, result.fallbackTriggered], ['claude-sonnet-4.5', false])
  simulator.reset()
  simulator.script({ status: 500 })
  assert.equal((await manager.callWithDegradation(SIMPLE, 'my-own-model')).modelUsed, 'deepseek-v3.2')
  assert.deepEqual(models(), ['my-own-model', 'deepseek-v3.2'])
})

test('five consecutive failures open the breaker of a model until its timeout elapses', async (t) => {
  const clock = clockOf(t)
  const circuitBreaker = { failureThreshold: 5, timeout: 300 }
  const { simulator, manager, models } = await setup(t, { circuitBreaker })
  for (let i = 0; i < 5; i++) {
    simulator.script({ status: 500 })
    assert.equal((await manager.callWithDegradation(COMPLEX)).modelUsed, 'claude-sonnet-4.5')
  }
  assert.equal(manager.getDegradationStats().circuitBreakers['gpt-4.1'], 5)
  simulator.clear()
  const { modelUsed } = await manager.callWithDegradation(COMPLEX)
  assert.equal(modelUsed, 'claude-sonnet-4.5')
  assert.deepEqual(models(), ['claude-sonnet-4.5'])
  await clock.advance(300)
  assert.equal((await manager.callWithDegradation(COMPLEX)).modelUsed, 'gpt-4.1')
  assert.equal(manager.getDegradationStats().circuitBreakers['gpt-4.1'], 0)
})

test('when every model fails, the result lists the models tried and has the last error as its cause', async (t) => {
  const { manager, models } = await setup(t, {}, { default: { status: 500 } })
  const { cause, ...result } = await manager.callWithDegradation(MODERATE)
  const candidatesTried = CHAIN.slice(0, 3)
  assert.deepEqual(result, { success: false, error: 'All models in chain failed', candidatesTried })
  assert.deepEqual([cause.name, cause.status, cause.attempts.length], ['APIError', 500, 3])
  assert.deepEqual(models(), candidatesTried)
})

test('an invalid request is sent to one model only and does not count as its failure', async (t) => {
  const { manager, models } = await setup(t, {}, { default: { status: 400 } })
  const { error, cause, candidatesTried } = await manager.callWithDegradation(COMPLEX)
  assert.deepEqual([cause.status, error, candidatesTried], [400, cause.message, ['gpt-4.1']])
  assert.deepEqual(models(), ['gpt-4.1'])
  assert.deepEqual(manager.getDegradationStats().circuitBreakers, {})
})

test('the statistics have the tutorial’s shape, with one entry for each model', async (t) => {
  const { manager } = await setup(t)
  assert.deepEqual(manager.getDegradationStats(), { usageByModel: {}, circuitBreakers: {}, avgLatency: {} })
  for (let i = 0; i < 3; i++) await manager.callWithDegradation(SIMPLE)
  await manager.callWithDegradation(COMPLEX)
  const { usageByModel, avgLatency } = manager.getDegradationStats()
  assert.deepEqual(usageByModel, { 'deepseek-v3.2': 3, 'gpt-4.1': 1 })
  assert.ok(avgLatency['gpt-4.1'] > 0)
})

test('a custom chain and a custom classifier are used', async (t) => {
  const simulator = await provider(t)
  const chain = [
    { name: 'large', costPerMillionTokens: 9, priority: 1 },
    { name: 'small', costPerMillionTokens: 1, priority: 3 },
  ]
  const classify = () => 'simple'
  const manager = new ModelDegradationManager(KEY, chain, { baseUrl: simulator.url, classify })
  assert.equal((await manager.callWithDegradation(COMPLEX)).modelUsed, 'small')
  assert.throws(() => new ModelDegradationManager(KEY, []), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new ModelDegradationManager(KEY, [{}]), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new ModelDegradationManager(KEY, null, { classify: 5 }), { code: 'INVALID_ARGUMENT' })
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  assert.equal(await failure(manager.callWithDegradation(SIMPLE, null, { signal })), reason)
})

test('an invalid chain, classification or preferred model is rejected by name', async (t) => {
  const model = { name: 'a', priority: 1, costPerMillionTokens: 1 }
  for (const [chain, name] of [
    [[], 'modelChain'],
    ['a', 'modelChain'],
    [[model, null], 'modelChain[1]'],
    [[{ ...model, name: '' }], 'modelChain[0].name'],
    [[{ name: 'a', costPerMillionTokens: 1 }], 'modelChain[0].priority'],
    [[{ ...model, priority: 'x' }], 'modelChain[0].priority'],
    [[{ ...model, costPerMillionTokens: 'q' }], 'modelChain[0].costPerMillionTokens'],
    [[{ ...model, avgLatencyMs: -1 }], 'modelChain[0].avgLatencyMs'],
    [[{ ...model, capability: 'weird' }], 'modelChain[0].capability'],
  ]) {
    const create = () => new ModelDegradationManager(KEY, chain)
    assert.throws(create, (error) => error.code === 'INVALID_ARGUMENT' && error.message.startsWith(`${name}: got `))
  }
  const { manager, models } = await setup(t, { classify: () => 'weird' })
  assert.match((await failure(manager.callWithDegradation(SIMPLE))).message, /^classify\(\): got 'weird'/)
  assert.throws(() => manager.candidates('weird'), /^TypeError: complexity: got 'weird'/)
  const valid = await setup(t)
  assert.match((await failure(valid.manager.callWithDegradation(SIMPLE, 5))).message, /^preferredModel: got 5/)
  assert.deepEqual(models(), [])
})
