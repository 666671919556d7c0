// The model of `holysheep/ai-sdk` with the shapes of real providers: tool calls, choices and texts.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createHolySheep } from '../../ai-sdk.mjs'
import { KEY, QUICK } from '../support/provider.mjs'
import { chunkOf, rawProvider, sse, streamOf } from '../support/raw-provider.mjs'

const PROMPT = [{ role: 'user', content: [{ type: 'text', text: 'x' }] }]
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }

/** A model whose provider sends these chunks. */
async function modelOf(t, chunks, options) {
  const { url, requests } = await rawProvider(t, sse(streamOf(...chunks)))
  const holysheep = createHolySheep({ apiKey: KEY, baseUrl: url, ...QUICK, maxRetries: 0, ...options })
  t.after(() => holysheep.client.close())
  return { model: holysheep('m'), requests }
}

async function partsOf(model, options) {
  const parts = []
  for await (const part of (await model.doStream({ prompt: PROMPT, ...options })).stream) parts.push(part)
  return parts
}

const callsOf = (parts) =>
  parts
    .filter(({ type }) => type === 'tool-call')
    .map(({ toolCallId, toolName, input }) => [toolCallId, toolName, input])
const textOf = (parts, type = 'text-delta') => parts.map((part) => (part.type === type ? part.delta : '')).join('')

/** Checks that each call has one start with its name, its input in deltas, and one end, in this order. */
function assertWellFormed(parts) {
  const open = new Map()
  for (const part of parts) {
    if (part.type === 'tool-input-start') {
      assert.equal(open.has(part.id), false, 'one start for each call')
      open.set(part.id, { name: part.toolName, input: '' })
    }
    if (part.type === 'tool-input-delta') open.get(part.id).input += part.delta
    if (part.type !== 'tool-call') continue
    const { name, input } = open.get(part.toolCallId)
    assert.deepEqual([part.toolName, part.input], [name, input || '{}'])
  }
  assert.equal(open.size, callsOf(parts).length)
}

const calls = (...list) => chunkOf({ tool_calls: list })
const call = (index, id, name, args) => ({ index, id, type: 'function', function: { name, arguments: args } })
const part = (index, args, more) => ({ index, function: { arguments: args, ...more } })
const withoutIndex = ({ index, ...rest }) => rest
const END = chunkOf({}, 'tool_calls')
const TWO = [
  ['a', 'f', '{"x":1}'],
  ['b', 'g', '{"y":2}'],
]

describe('tool calls are neither split nor mixed', () => {
  for (const [name, chunks, expected = TWO] of [
    [
      'interleaved by index',
      [
        calls(call(0, 'a', 'f', '{"x"')),
        calls(call(1, 'b', 'g', '{"y"')),
        calls(part(0, ':1}')),
        calls(part(1, ':2}')),
      ],
    ],
    [
      'interleaved in one delta',
      [calls(call(0, 'a', 'f', ''), call(1, 'b', 'g', '')), calls(part(1, '{"y":2}'), part(0, '{"x":1}'))],
    ],
    [
      'interleaved by id at one index',
      [
        calls(call(0, 'a', 'f', '{"x"')),
        calls(call(0, 'b', 'g', '{"y"')),
        calls({ ...part(0, ':1}'), id: 'a' }),
        calls({ ...part(0, ':2}'), id: 'b' }),
      ],
    ],
    ['all at one index', [calls(call(0, 'a', 'f', '{"x":1}')), calls(call(0, 'b', 'g', '{"y":2}'))]],
    [
      'without indexes',
      [call(0, 'a', 'f', '{"x":1}'), call(0, 'b', 'g', '{"y":2}')].map((one) => calls(withoutIndex(one))),
    ],
    [
      'without indexes in one delta',
      [calls(...[call(0, 'a', 'f', '{"x":1}'), call(0, 'b', 'g', '{"y":2}')].map(withoutIndex))],
    ],
    [
      'with indexes as strings',
      [calls(call('0', 'a', 'f', '{"x"')), calls(call('1', 'b', 'g', '{"y":2}')), calls(part('0', ':1}'))],
    ],
    ['with sparse indexes', [calls(call(5, 'a', 'f', '{"x":1}')), calls(call(9, 'b', 'g', '{"y":2}'))]],
    [
      'with the names last',
      [
        calls(call(0, 'a', '', '{"x":1}'), call(1, 'b', '', '{"y":2}')),
        calls(part(0, '', { name: 'f' }), part(1, '', { name: 'g' })),
      ],
    ],
    [
      'with the ids last',
      [
        calls(part(0, '{"x":1}', { name: 'f' }), part(1, '{"y":2}', { name: 'g' })),
        calls({ index: 0, id: 'a' }, { index: 1, id: 'b' }),
      ],
    ],
    [
      'with the id and the name last and no index',
      [calls(withoutIndex(part(0, '{"x":1}'))), calls({ id: 'a', function: { name: 'f' } })],
      [TWO[0]],
    ],
    [
      'with names in parts',
      [calls(call(0, 'a', 'get_', '')), calls(part(0, '{"x":1}', { name: 'weather' }))],
      [['a', 'get_weather', '{"x":1}']],
    ],
    ['with names again and again', [calls(call(0, 'a', 'f', '{"x"')), calls(call(0, 'a', 'f', ':1}'))], [TWO[0]]],
    [
      'with a new id for each delta',
      [calls(call(0, 'a', 'f', '')), calls(call(0, 'b', '', '{"x"')), calls(call(0, 'c', '', ':1}'))],
      [TWO[0]],
    ],
    [
      'without ids',
      [calls(call(0, null, 'f', '{"x":1}')), calls(call(1, '', 'g', '{"y":2}'))],
      [
        ['call_0', 'f', '{"x":1}'],
        ['call_1', 'g', '{"y":2}'],
      ],
    ],
    ['with the input as an object', [calls(call(0, 'a', 'f', { x: 1 }))], [TWO[0]]],
    ['without input', [calls(call(0, 'a', 'f', ''))], [['a', 'f', '{}']]],
    ['after the finish reason', [calls(call(0, 'a', 'f', '{"x":1}')), END, calls(call(1, 'b', 'g', '{"y":2}'))]],
    [
      'in a message',
      [{ ...chunkOf({}), choices: [{ index: 0, message: { tool_calls: [call(0, 'a', 'f', '{"x":1}')] } }] }],
      [TWO[0]],
    ],
    [
      'with text in between',
      [calls(call(0, 'a', 'f', '{"x"')), chunkOf({ content: 'hm' }), calls(part(0, ':1}'))],
      [TWO[0]],
    ],
    [
      'as a function_call',
      [chunkOf({ function_call: { name: 'f', arguments: '{"x"' } }), chunkOf({ function_call: { arguments: ':1}' } })],
      [['call_0', 'f', '{"x":1}']],
    ],
  ]) {
    test(name, async (t) => {
      for (const toolCalls of ['stream', 'buffer']) {
        const { model, requests } = await modelOf(t, [...chunks, END], { toolCalls })
        const parts = await partsOf(model)
        assert.deepEqual(callsOf(parts), expected, toolCalls)
        assertWellFormed(parts)
        const { content } = await model.doGenerate({ prompt: PROMPT })
        assert.deepEqual(callsOf(content), expected, `${toolCalls}, generated`)
        assert.equal(requests.length, 2)
      }
    })
  }

  test('and one whose input is not JSON does not vanish', async (t) => {
    const chunks = [calls(call(0, 'a', 'f', '{"x": oops')), END]
    const { model } = await modelOf(t, chunks, { toolCalls: 'stream' })
    assert.deepEqual(callsOf(await partsOf(model)), [['a', 'f', '{"x": oops']])
    assert.deepEqual(callsOf((await model.doGenerate({ prompt: PROMPT })).content), [['a', 'f', '{"x": oops']])
    const buffered = (await modelOf(t, chunks)).model
    const thrown = await buffered.doGenerate({ prompt: PROMPT }).catch((error) => error)
    assert.equal(thrown.code, 'MALFORMED_RESPONSE')
  })
})

describe('text is read', () => {
  const choice = (choice) => ({ ...chunkOf({}), choices: [choice] })
  const stop = chunkOf({}, 'stop')
  for (const [name, chunks] of [
    [
      'without an index',
      [choice({ delta: { content: 'Hello' } }), choice({ delta: { content: ' world' }, finish_reason: 'stop' })],
    ],
    ['with an index as a string', [choice({ index: '0', delta: { content: 'Hello world' } }), stop]],
    [
      'with indexes from one',
      [choice({ index: 1, delta: { content: 'Hello world' } }), choice({ index: 1, delta: {}, finish_reason: 'stop' })],
    ],
    ['of a message', [choice({ index: 0, message: { content: 'Hello world' }, finish_reason: 'stop' })]],
    ['of a text', [choice({ index: 0, text: 'Hello world', finish_reason: 'stop' })]],
    ['of parts', [chunkOf({ content: [{ type: 'text', text: 'Hello' }, { type: 'image' }, ' world'] }), stop]],
    ['of a part', [chunkOf({ content: { type: 'text', text: { value: 'Hello world' } } }), stop]],
    [
      'with a finish reason in every chunk',
      [chunkOf({ content: 'Hello' }, 'stop'), chunkOf({ content: ' world' }, 'stop')],
    ],
    ['after the finish reason', [chunkOf({ content: 'Hello' }), stop, chunkOf({ content: ' world' })]],
  ]) {
    test(name, async (t) => {
      const { model } = await modelOf(t, chunks)
      assert.equal(textOf(await partsOf(model)), 'Hello world')
      assert.equal((await model.doGenerate({ prompt: PROMPT })).content[0].text, 'Hello world')
    })
  }

  test('of numbers and booleans, and not where the answer can do without', async (t) => {
    const chunks = [
      chunkOf({ content: 'v', refusal: false, reasoning: 7 }),
      chunkOf({ content: 6 }),
      chunkOf({}, 'stop'),
    ]
    const { model } = await modelOf(t, chunks)
    const parts = await partsOf(model)
    assert.equal(textOf(parts), 'v6')
    assert.deepEqual([textOf(parts, 'reasoning-delta'), parts.at(-1).finishReason.unified], ['', 'stop'])
  })
})

test('usage and citations after the finish reason reach the parts', async (t) => {
  const chunks = [
    chunkOf({ content: 'a' }),
    chunkOf({}, 'stop'),
    { ...chunkOf({}), choices: [], citations: ['c'] },
    { ...chunkOf({ content: '' }), usage: USAGE },
  ]
  const { model } = await modelOf(t, chunks)
  const parts = await partsOf(model, { includeRawChunks: true })
  assert.deepEqual(parts.at(-1).usage.raw, USAGE)
  assert.ok(parts.some(({ type, rawValue }) => type === 'raw' && rawValue.citations?.[0] === 'c'))
  assert.deepEqual((await model.doGenerate({ prompt: PROMPT })).usage.raw, USAGE)
})

test('the headers of a gateway are those of the response', async (t) => {
  const chunks = streamOf(chunkOf({ content: 'a' }), chunkOf({}, 'stop'))
  const { url } = await rawProvider(t, sse(chunks, { 'helicone-id': 'h', 'set-cookie': 'a=b' }))
  const holysheep = createHolySheep({ apiKey: KEY, baseUrl: url, ...QUICK })
  t.after(() => holysheep.client.close())
  for (const method of ['doStream', 'doGenerate']) {
    const { headers } = (await holysheep('m')[method]({ prompt: PROMPT })).response
    assert.deepEqual([headers['helicone-id'], headers['set-cookie']], ['h', undefined])
  }
})

test('the options of a call about usage, events and empty answers are accepted', async (t) => {
  const empty = [chunkOf({ role: 'assistant', content: '' }), chunkOf({}, 'stop')]
  const options = { usageTimeoutMs: 0, maxEventBytes: 1_000_000, allowEmptyAnswer: true }
  const { model } = await modelOf(t, empty, options)
  assert.equal(textOf(await partsOf(model)), '')
  const plain = (await modelOf(t, empty)).model
  const providerOptions = { holysheep: { call: options } }
  assert.deepEqual((await plain.doGenerate({ prompt: PROMPT, providerOptions })).content, [])
})
