// Choices that are numbered otherwise, or fewer than were requested.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { contentOf, MESSAGES, pair, REQUEST } from './support/provider.mjs'
import { assertText, chunk, STOP } from './support/wire.mjs'

describe('the only choice is the answer', () => {
  for (const [choiceIndex, provider] of Object.entries({
    fromOne: 'a gateway',
    string: 'a relay',
    none: 'Gemini, a relay',
  })) {
    const scenario = { chunks: ['Xin ch', 'ào'], choiceIndex }
    test(`${choiceIndex} (${provider})`, (t) => assertText(t, [scenario], 'Xin chào'))
  }
})

test('a break in a choice that is numbered from 1 delivers nothing twice', async (t) => {
  const { simulator, client } = await pair(t)
  const disconnect = { afterChunks: 2, how: 'reset' }
  simulator.script({ chunks: ['Xin ', 'ch', 'ào'], choiceIndex: 'fromOne', disconnect })
  simulator.setDefault({ chunks: ['Xin ', 'ch', 'ào'], choiceIndex: 'fromOne' })
  let text = ''
  let error
  try {
    for await (const chunk of client.stream(REQUEST)) text += contentOf(chunk)
  } catch (thrown) {
    error = thrown
  }
  assert.ok(error ? 'Xin chào'.startsWith(text) : text === 'Xin chào', `${text}, ${error}`)
})

test('a server that ignores `n` answers with the choices that came', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ events: [chunk({ content: 'Xin chào' }), STOP] })
  const { choices } = await client.chat({ messages: MESSAGES, n: 3 })
  assert.deepEqual(
    choices.map(({ index, message }) => [index, message.content]),
    [[0, 'Xin chào']],
  )
  assert.equal(simulator.requests.length, 1)
})

test('text and a delta that is not continued: a break delivers neither twice', async (t) => {
  const { simulator, client } = await pair(t)
  const events = [chunk({ content: 'a' }), chunk({ audio: { data: 'QUJD' } }), chunk({ content: 'b' }), STOP]
  simulator.setDefault({ events, disconnect: { afterChunks: 2, how: 'reset' } })
  const got = []
  await assert.rejects(
    (async () => {
      for await (const { choices } of client.stream(REQUEST)) got.push(...choices.map(({ delta }) => delta))
    })(),
    { code: 'STREAM_INTERRUPTED' },
  )
  assert.equal(got.filter(({ audio }) => audio).length, 1)
  assert.equal(simulator.requests.length, 1)
})
