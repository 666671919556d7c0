// A message or a text where the delta should be: parts, the whole so far, or the whole once more after the deltas.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pair, REQUEST } from './support/provider.mjs'
import { assertText, chunk, STOP } from './support/wire.mjs'

const whole = (choice, more = {}) => ({ ...chunk({}), choices: [{ index: 0, ...choice }], ...more })
const PARTS = [chunk({ content: '\n\nXin' }), chunk({ content: ' chào' })]
const TEXT = '\n\nXin chào'

describe('a message after the deltas delivers nothing twice', () => {
  for (const [provider, last] of Object.entries({
    'MiniMax: an object chat.completion': whole(
      { message: { content: TEXT }, finish_reason: 'stop' },
      { object: 'chat.completion' },
    ),
    'beside an empty delta': whole({ delta: {}, message: { content: TEXT }, finish_reason: 'stop' }),
    'without white space': whole({ delta: {}, message: { content: 'Xin chào' }, finish_reason: 'stop' }),
    'text, as in completions': whole({ delta: {}, text: TEXT, finish_reason: 'stop' }),
  })) {
    test(provider, (t) => assertText(t, [{ events: [...PARTS, last] }], TEXT))
  }

  test('tool calls, reasoning and unknown fields', async (t) => {
    const { simulator, client } = await pair(t)
    const call = { index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }
    const parts = { reasoning_content: 'hm', annotations: [{ url: 'u' }], tool_calls: [call] }
    const events = [chunk(parts), whole({ message: { content: null, ...parts }, finish_reason: 'tool_calls' })]
    simulator.setDefault({ events })
    const { choices } = await client.chat(REQUEST).then((answer) => answer.completion ?? answer)
    assert.deepEqual(choices[0].message.annotations, parts.annotations)
    assert.equal(choices[0].message.reasoning_content, 'hm')
    assert.equal(choices[0].message.tool_calls.length, 1)
    for (const toolCalls of ['buffer', 'stream']) {
      const chunks = []
      for await (const one of client.stream({ ...REQUEST }, { toolCalls })) chunks.push(JSON.stringify(one))
      const all = chunks.join('')
      for (const once of ['"hm"', '"url":"u"', '"id":"a"']) {
        assert.equal(all.split(once).length, 2, `${toolCalls}: ${once} in ${all}`)
      }
    }
  })
})

describe('messages alone', () => {
  const messages = (...texts) => [...texts.map((content) => whole({ message: { content } })), STOP]
  test('the whole so far', (t) => assertText(t, [{ events: messages('Xin', 'Xin chào', 'Xin chào') }], 'Xin chào'))
  test('parts, two of them the same', (t) => assertText(t, [{ events: messages('\n', '\n', 'Xin') }], '\n\nXin'))
})

describe('a message beside a delta without content is the text (relays)', () => {
  for (const delta of [{ role: 'assistant' }, { content: '' }, { content: null }]) {
    const event = whole({ delta, message: { role: 'assistant', content: 'Xin chào' }, finish_reason: 'stop' })
    test(JSON.stringify(delta), (t) => assertText(t, [{ events: [event] }], 'Xin chào'))
  }
})
