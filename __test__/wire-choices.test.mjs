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

describe('one finish reason for all choices (LiteLLM)', () => {
  const of = (index, delta, finish_reason = null) => ({
    ...chunk({}),
    choices: [{ index, delta, finish_reason }],
  })
  const usage = { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 }
  const texts = [of(0, { content: 'Xin ' }), of(1, { content: 'Chào ' }), of(0, { content: 'chào' })]
  const other = of(1, { content: 'bạn' })
  const finish = of(0, {}, 'stop')
  const report = { ...of(0, {}), usage }
  const request = { messages: MESSAGES, n: 2 }

  test('it stands for the others if it comes last, with the usage after it', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ events: [...texts, other, finish, report] })
    const { choices } = await client.chat(request)
    assert.deepEqual(
      choices.map(({ message, finish_reason }) => [message.content, finish_reason]),
      [
        ['Xin chào', 'stop'],
        ['Chào bạn', 'stop'],
      ],
    )
    const reasons = []
    for await (const { choices } of client.stream(request)) {
      for (const { index, finish_reason } of choices) if (finish_reason) reasons.push([index, finish_reason])
    }
    assert.deepEqual(reasons, [
      [0, 'stop'],
      [1, 'stop'],
    ])
    assert.equal(simulator.requests.length, 2)
  })

  for (const [what, events, done] of [
    ['another choice goes on after it', [...texts, finish, other, report], true],
    ['there is no usage', [...texts, other, finish], true],
    ['there is no [DONE]', [...texts, other, finish, report], false],
  ]) {
    test(`it does not if ${what}`, async (t) => {
      const { simulator, client } = await pair(t, { maxRetries: 0 })
      simulator.setDefault({ events, done })
      await assert.rejects(client.chat(request), { code: 'STREAM_TRUNCATED' })
    })
  }
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
