// Tool calls as providers send them: without an index, all with the same one, names and arguments in other shapes.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { failure, pair, REQUEST } from './support/provider.mjs'
import { chunk } from './support/wire.mjs'

const CALLS = [
  { id: 'a', name: 'weather', arguments: { city: 'Huế' } },
  { id: 'b', name: 'time', arguments: { zone: 'UTC' } },
]
const EXPECTED = [
  ['weather', '{"city":"Huế"}'],
  ['time', '{"zone":"UTC"}'],
]
const call = (fields, more = {}) => chunk({ tool_calls: [{ index: 0, ...more, function: fields }] })
const END = chunk({}, 'tool_calls')

const SCENARIOS = {
  'all have index 0 (a relay)': [{ toolCalls: CALLS, toolCallIndex: 'zero' }, EXPECTED],
  'none has an index (Gemini, GLM)': [{ toolCalls: CALLS, toolCallIndex: 'none' }, EXPECTED],
  'indexes begin at 1': [{ toolCalls: CALLS, toolCallIndex: 'fromOne' }, EXPECTED],
  'indexes are strings': [{ toolCalls: CALLS, toolCallIndex: 'string' }, EXPECTED],
  'a name in parts (Gemini behind a relay)': [
    { events: [call({ name: 'wea', arguments: '' }, { id: 'a' }), call({ name: 'ther', arguments: '{"x":1}' }), END] },
    [['weather', '{"x":1}']],
  ],
  'the name in each delta (MiniMax)': [
    { events: [call({ name: 'f', arguments: '{"x"' }, { id: 'a' }), call({ name: 'f', arguments: ':1}' }), END] },
    [['f', '{"x":1}']],
  ],
  'arguments as an object (llama.cpp)': [
    { events: [call({ name: 'f', arguments: { x: 1 } }, { id: 'a' }), END] },
    [['f', '{"x":1}']],
  ],
  'an empty object before the arguments (one-api)': [
    { events: [call({ name: 'f', arguments: '{}' }, { id: 'a' }), call({ arguments: '{"x":1}' }), END] },
    [['f', '{"x":1}']],
  ],
  'the whole call once more next to the finish reason (vLLM, Qwen)': [
    {
      events: [
        call({ name: 'f', arguments: '{"x":1}' }, { id: 'a' }),
        { ...call({ name: 'f', arguments: '{"x":1}' }, { id: 'a' }) },
        END,
      ],
    },
    [['f', '{"x":1}']],
  ],
  'the name and the arguments next to the index': [
    { events: [chunk({ tool_calls: [{ index: 0, id: 'a', name: 'f', arguments: '{"x":1}' }] }), END] },
    [['f', '{"x":1}']],
  ],
  'a second call at index 0, its arguments at index 1 (DeepSeek behind a relay)': [
    {
      events: [
        call({ name: 'f', arguments: '{}' }, { id: 'a' }),
        call({ name: 'g', arguments: '' }, { id: 'b' }),
        call({ arguments: '{"y":2}' }, { index: 1 }),
        END,
      ],
    },
    [
      ['f', '{}'],
      ['g', '{"y":2}'],
    ],
  ],
  'another id in each delta (LM Studio)': [
    { events: [call({ name: 'f', arguments: '{"x"' }, { id: 'a' }), call({ arguments: ':1}' }, { id: 'b' }), END] },
    [['f', '{"x":1}']],
  ],
}

describe('tool calls are distinguished and assembled', () => {
  for (const [name, [scenario, expected]] of Object.entries(SCENARIOS)) {
    test(name, async (t) => {
      const { simulator, client } = await pair(t)
      simulator.setDefault(scenario)
      for (const toolCalls of ['buffer', 'stream']) {
        const { choices } = await client.chat(REQUEST, { toolCalls })
        const calls = choices[0].message.tool_calls.map(({ function: f }) => [f.name, f.arguments])
        assert.deepEqual([toolCalls, calls], [toolCalls, expected])
      }
      assert.equal(simulator.requests.length, 2)
    })
  }
})

test('interleaved calls are not mixed', async (t) => {
  const { simulator, client } = await pair(t)
  const part = (index, fields, id) => chunk({ tool_calls: [{ index, ...(id && { id }), function: fields }] })
  const events = [
    part(0, { name: 'f', arguments: '{"x"' }, 'a'),
    part(1, { name: 'g', arguments: '{"y"' }, 'b'),
    part(0, { arguments: ':1}' }),
    part(1, { arguments: ':2}' }),
    END,
  ]
  simulator.setDefault({ events })
  const { choices } = await client.chat(REQUEST)
  const calls = choices[0].message.tool_calls.map(({ id, function: f }) => [id, f.name, f.arguments])
  assert.deepEqual(calls, [
    ['a', 'f', '{"x":1}'],
    ['b', 'g', '{"y":2}'],
  ])
})

test('a call whose arguments are not JSON does not vanish', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ events: [call({ name: 'f', arguments: '{"x":' }, { id: 'a' }), END] })
  assert.match((await failure(client.chat(REQUEST))).message, /tool call|arguments/i)
  const outcome = await client.chat(REQUEST, { toolCalls: 'stream' }).catch((error) => error)
  assert.ok(outcome instanceof Error || outcome.choices[0].message.tool_calls.length === 1)
})

test('a call without a name is an error', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ events: [call({ arguments: '{"x":1}' }, { id: 'a' }), END] })
  assert.match((await failure(client.chat(REQUEST))).message, /no name/)
})
