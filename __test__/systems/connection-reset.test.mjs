// handleConnectionReset (HolySheep tutorial 002).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handleConnectionReset } from '../../index.mjs'
import { clientOf, failure, MESSAGES, provider } from '../support/provider.mjs'

const reset = () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })

test('a reset resolves to true after 1 to 3 s, and to false once the attempts are exhausted', async () => {
  const started = performance.now()
  assert.equal(await handleConnectionReset(reset(), { messages: MESSAGES }, 0, 3), true)
  const waited = performance.now() - started
  assert.ok(waited >= 995, `${waited} ms`)
  assert.equal(await handleConnectionReset(reset(), { messages: MESSAGES }, 3, 3), false)
})

test('any other error resolves to false', async () => {
  for (const error of [new Error('ECONNRESET'), { code: 429 }, null, undefined, 'ECONNRESET']) {
    assert.equal(await handleConnectionReset(error, {}, 0, 3), false)
  }
  await assert.rejects(handleConnectionReset(reset(), null, 0, 3), { code: 'INVALID_ARGUMENT' })
  await assert.rejects(handleConnectionReset(reset(), {}, 'x', 3), { code: 'INVALID_ARGUMENT' })
})

test('a reset makes the request ask for the rest, and a second reset replaces that instruction', async (t) => {
  const simulator = await provider(t, { default: { text: 'một hai ba bốn năm', chunkChars: 4 } })
  const client = clientOf(t, simulator, { maxRetries: 0, recovery: false })
  const request = { messages: MESSAGES, partialResponse: '' }
  let text = ''
  simulator.script({ text: 'một hai ba bốn năm', chunkChars: 4, disconnect: { afterChunks: 2, how: 'reset' } })
  const stream = client.stream(request)
  const read = async () => {
    for await (const delta of stream.textStream) text += delta
  }
  const error = await failure(read())
  assert.equal(error.partial, text)
  request.partialResponse = text
  assert.equal(await handleConnectionReset(error, request, 0, 3), true)
  assert.deepEqual(request.messages.slice(0, 1), MESSAGES)
  assert.deepEqual(request.messages[1], { role: 'assistant', content: text })
  assert.equal(request.messages.length, 3)

  request.partialResponse = `${text}ba`
  assert.equal(await handleConnectionReset(reset(), request, 1, 3), true)
  assert.equal(request.messages.length, 3)
  assert.equal(request.messages[1].content, `${text}ba`)
  request.messages = [...MESSAGES]
  request.partialResponse = text
  assert.equal(await handleConnectionReset(reset(), request, 2, 3), true)
  const { partialResponse, ...body } = request
  const rest = (await client.chat(body)).choices[0].message.content
  assert.equal(partialResponse + rest, 'một hai ba bốn năm')
})

test('an abort interrupts the wait', async () => {
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(handleConnectionReset(reset(), {}, 0, 3, { signal }), /enough/)
})
