// The model catalogue, and the provider's list of models.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AuthenticationError, catalogue, classifyComplexity, HolySheepStreamingClient } from '../index.mjs'
import { CHUNKS, failure, KEY, MESSAGES, pair, provider } from './support/provider.mjs'

test('the catalogue has the documented limits and prices, and each caller gets a copy', () => {
  const table = catalogue()
  assert.deepEqual(table['gpt-4.1'], {
    contextTokens: 128_000,
    maxOutputTokens: 16_384,
    inputUsdPerMillion: 8,
    outputUsdPerMillion: 8,
  })
  assert.equal(table['deepseek-v3.2'].outputUsdPerMillion, 0.42)
  table['gpt-4.1'].contextTokens = 1
  assert.equal(catalogue()['gpt-4.1'].contextTokens, 128_000)
})

test('the catalogue rejects no call by default', async (t) => {
  const { client } = await pair(t)
  const completion = await client.chat({ model: 'a-model-of-tomorrow', messages: MESSAGES })
  assert.equal(completion.choices[0].message.content, CHUNKS.join(''))
})

test("models() requests the endpoint's list with its key", async (t) => {
  const { simulator, client } = await pair(t, {}, { models: ['one', 'two'] })
  const models = await client.models()
  assert.deepEqual(
    models.map(({ id }) => id),
    ['one', 'two'],
  )
  const [{ method, path, headers, body }] = simulator.requests
  assert.deepEqual([method, path, body], ['GET', '/v1/models', ''])
  assert.equal(headers.authorization, `Bearer ${KEY}`)
  assert.equal(headers['idempotency-key'], undefined)
})

test('validateModel rejects an unknown model before anything is sent, with the nearest names', async (t) => {
  const { simulator, client } = await pair(t, { validateModel: true }, { models: ['sheep-large'] })
  for (const call of [
    async (model) => client.stream({ model, messages: MESSAGES }).text(),
    (model) => client.chat({ model, messages: MESSAGES }),
  ]) {
    const error = await failure(call('gtp-4.1'))
    assert.ok(error instanceof TypeError, error.stack)
    assert.equal(error.code, 'INVALID_ARGUMENT')
    assert.match(error.message, /^request\.model: got 'gtp-4\.1', which is not known; .* 'gpt-4\.1'$/)
    assert.match((await failure(call('llama'))).message, /client\.models\(\)/)
  }
  assert.equal(simulator.requests.length, 0)
  await client.chat({ messages: MESSAGES })
  assert.match((await failure(client.chat({ model: 'sheep-large', messages: MESSAGES }))).message, /not known/)
  await client.models()
  await client.chat({ model: 'sheep-large', messages: MESSAGES })
  assert.match(
    (await failure(client.chat({ model: 'sheep-larg', messages: MESSAGES }))).message,
    /nearest: 'sheep-large'/,
  )
})

test('a model named in the options is known', async (t) => {
  const { client } = await pair(t, { validateModel: true, models: { mine: { contextTokens: 10 } } })
  await client.chat({ model: 'mine', messages: MESSAGES })
})

test('an endpoint that does not list its models is an error, unless the next one does', async (t) => {
  const closed = await provider(t, { apiKey: 'another' })
  const open = await provider(t, { models: ['x'] })
  const alone = new HolySheepStreamingClient(KEY, { baseUrl: closed.url })
  const error = await failure(alone.models())
  assert.ok(error instanceof AuthenticationError, error.stack)
  assert.ok(!error.message.includes(KEY))
  const both = new HolySheepStreamingClient(KEY, { endpoints: [closed.url, open.url] })
  assert.equal((await both.models())[0].id, 'x')
  assert.equal(await failure(both.models({ signal: AbortSignal.abort('no') })), 'no')
  await alone.close()
  assert.equal((await failure(alone.models())).code, 'CLIENT_CLOSED')
})

test('classifyComplexity rates a question by its words and length, in any Unicode form', () => {
  const of = (content) =>
    classifyComplexity([
      { role: 'system', content: 'analyze, compare '.repeat(50) },
      { role: 'user', content },
    ])
  assert.equal(of('Cửa hàng mở cửa mấy giờ?'), 'simple')
  for (const form of ['NFC', 'NFD']) {
    assert.equal(of('GIẢI THÍCH chính sách đổi trả'.normalize(form)), 'moderate')
    assert.equal(of('Phân tích và so sánh hai sản phẩm'.normalize(form)), 'complex')
    assert.equal(of('ế'.repeat(150).normalize(form)), 'simple')
  }
  assert.equal(
    of([
      { type: 'text', text: 'Compare' },
      { type: 'text', text: 'and evaluate' },
    ]),
    'complex',
  )
  for (const bad of [undefined, null, 'compare', {}, [5]]) {
    assert.throws(() => classifyComplexity(bad), {
      name: 'TypeError',
      code: 'INVALID_ARGUMENT',
      message: /^messages: got /,
    })
  }
})
