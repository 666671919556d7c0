// What follows a finish reason: text, usage and errors.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  clockOf,
  END,
  eventOf,
  manualProvider,
  clientOf as of,
  pair,
  REQUEST,
  settled,
  until,
} from './support/provider.mjs'
import { assertFailure, assertText, chunk, outcomes, STOP } from './support/wire.mjs'

const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }

test('text after the chunk with the finish reason is part of the answer (Perplexity, relays)', (t) =>
  assertText(t, [{ chunks: ['Xin', ' ch'], lateText: 'ào' }], 'Xin chào'))

test('a finish reason in every chunk does not end the answer (LM Studio, gateways)', (t) => {
  const events = ['Xin', ' ch', 'ào'].map((content) => chunk({ content }, 'stop'))
  return assertText(t, [{ events }], 'Xin chào')
})

describe('an error after the finish reason is an error (OpenRouter)', () => {
  for (const how of ['errorEvent', 'errorEventNamed']) {
    test(how, (t) => {
      const disconnect = { afterFinish: true, how, error: { message: 'upstream is gone', code: 502 } }
      const options = { maxRetries: 0, recovery: false, delivered: 'Xin chào' }
      return assertFailure(t, [{ text: 'Xin chào', disconnect }], /upstream is gone/, options)
    })
  }
})

test('a connection that is lost after the finish reason has lost nothing', (t) =>
  assertText(t, [{ text: 'Xin chào', disconnect: { afterFinish: true, how: 'reset' } }], 'Xin chào'))

describe('usage reaches the result, the chunks and createFetch', () => {
  for (const [usageIn, provider] of Object.entries({
    chunk: 'OpenAI',
    choiceChunk: 'LiteLLM, OpenRouter',
    lastChunk: 'DeepSeek',
    choice: 'Moonshot',
    xGroq: 'Groq',
    every: 'xAI',
  })) {
    test(`${usageIn} (${provider})`, async (t) => {
      const { simulator, client } = await pair(t)
      const scenario = { text: 'Xin chào', usage: USAGE, usageIn }
      simulator.setDefault(scenario)
      assert.deepEqual((await client.chat(REQUEST)).usage, USAGE)
      const stream = client.stream({ ...REQUEST, stream_options: { include_usage: true } })
      const usages = []
      for await (const { usage } of stream) if (usage) usages.push(usage)
      assert.deepEqual((await stream.result).usage, USAGE)
      assert.deepEqual(usages.at(-1), USAGE)
      await assertText(t, [scenario], 'Xin chào')
    })
  }
})

test('the text is settled a second after the finish reason, and the usage may come later', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const manual = await manualProvider(t)
  const stream = of(t, manual, { usageTimeoutMs: 5000 }).stream(REQUEST)
  const text = stream.text()
  const isSettled = settled(text)
  await until(() => manual.requests.length === 1)
  const { begin, response } = manual.requests[0]
  begin().write(eventOf('Xin chào') + eventOf('', 'stop'))
  await until(() => stream.snapshot().answer.text === 'Xin chào')
  await clock.advance(900)
  assert.equal(isSettled(), false)
  await clock.advance(200)
  assert.equal(await text, 'Xin chào')
  response.end(`data: ${JSON.stringify({ id: 'c', choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`)
  assert.deepEqual((await stream.result).usage, USAGE)
})

test('the result waits no longer than usageTimeoutMs for the usage', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const manual = await manualProvider(t)
  const stream = of(t, manual, { usageTimeoutMs: 3000 }).stream(REQUEST)
  const isSettled = settled(stream.result)
  await until(() => manual.requests.length === 1)
  manual.requests[0].begin().write(eventOf('Xin chào') + eventOf('', 'stop'))
  await until(() => stream.snapshot().answer.text === 'Xin chào')
  await clock.advance(2900)
  assert.equal(isSettled(), false)
  await clock.advance(1200)
  const { text, usage } = await stream.result
  assert.deepEqual([text, usage], ['Xin chào', null])
  manual.requests[0].response.end(END)
})

test('an empty answer is EMPTY_ANSWER after one more request', (t) =>
  assertFailure(t, [{ events: [STOP] }], /EMPTY_ANSWER|is empty/, { requests: 2 }))

test('an empty answer followed by a full one is that one', async (t) => {
  for await (const { text, requests } of outcomes(t, [{ chunks: [] }, { text: 'Xin chào' }])) {
    assert.deepEqual([text, requests], ['Xin chào', 2])
  }
})

test('text behind the usage is part of the answer if it was sent together with it (SenseNova)', (t) => {
  const usage = { ...chunk({}), choices: [], usage: USAGE }
  return assertText(t, [{ events: [chunk({ content: 'Xin' }), STOP, usage, chunk({ content: ' chào' })] }], 'Xin chào')
})
