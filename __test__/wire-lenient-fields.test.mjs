// Fields of another type or in another place than OpenAI's.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pair, REQUEST } from './support/provider.mjs'
import { assertText, chunk, deltas, STOP } from './support/wire.mjs'

/** A reader of chunks receives the parts unchanged. */
const TEXT = ['textStream', 'text', 'chat', 'streamWithRetry']

describe('a field that is not needed never fails a chunk', () => {
  for (const [name, chunkFields] of Object.entries({
    'created is a string (relays)': { created: '1700000000' },
    'created has a fraction (SGLang)': { created: 1700000000.25 },
    'created is null': { created: null },
    'id is a number (a gateway)': { id: 7 },
    'id, object and model are empty (Azure)': { id: '', object: '', model: '' },
    'model is an object': { model: { name: 'm' } },
    'error is empty in every chunk (Go relays)': { error: '' },
    'error is false in every chunk': { error: false },
    'an unknown field is a list': { provider_specific: [1, { a: null }] },
  })) {
    test(name, (t) => assertText(t, [{ chunks: ['Xin ch', 'ào'], chunkFields }], 'Xin chào'))
  }
})

describe('text is read in every place', () => {
  for (const [shape, provider] of Object.entries({
    message: 'a whole message in each event',
    text: 'the old completions',
    parts: 'Mistral',
  })) {
    test(`${shape} (${provider})`, (t) =>
      assertText(t, [{ chunks: ['Xin ch', 'ào'], shape }], 'Xin chào', { methods: TEXT }))
  }
  test('numbers and booleans (a gateway that parses text as JSON)', (t) =>
    assertText(t, [deltas({ content: 'v' }, { content: 6 }, { content: true })], 'v6true'))
})

test('duplicate keys of a delta: the text is read once (NVIDIA NIM)', (t) => {
  const event =
    '{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Xin","role":"assistant"},"finish_reason":null}]}'
  return assertText(t, [{ events: [event, chunk({ content: ' chào' }), STOP] }], 'Xin chào')
})

test('a surrogate pair that is split over two deltas is one character', (t) => {
  const half = (code) => `{"choices":[{"index":0,"delta":{"content":"${code}"},"finish_reason":null}]}`
  return assertText(t, [{ events: [half('a\\ud83d'), half('\\udc11b'), STOP] }], 'a🐑b')
})

test('half of a pair alone is replaced and fails nothing', (t) => {
  const half = '{"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"finish_reason":null}]}'
  return assertText(t, [{ events: [half, chunk({ content: 'b' }), STOP] }], 'a\ufffdb')
})

test('unknown fields arrive unchanged', async (t) => {
  const { simulator, client } = await pair(t)
  const citations = ['https://example.com/', { page: 1 }]
  simulator.setDefault({ chunks: ['Xin ch', 'ào'], chunkFields: { citations, created: '17' } })
  for await (const chunk of client.stream(REQUEST)) {
    assert.deepEqual(chunk.citations, citations)
    // Those beside the usage, which was not requested, come in a chunk of the client's own.
    if (chunk.choices.length > 0) assert.equal(chunk.created, '17')
  }
})
