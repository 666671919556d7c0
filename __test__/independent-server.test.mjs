// A provider that others have written (@copilotkit/aimock): our own simulator and our own client
// could share a misreading of the protocol.
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { LLMock } from '@copilotkit/aimock'
import { HolySheepStreamingClient, StreamInterruptedError } from '../index.mjs'
import { contentOf, FACES, failure, KEY, MESSAGES, QUICK, REQUEST } from './support/provider.mjs'

const TEXT = 'Xin chào! Một câu trả lời dài, có cừu 🐑 và chữ có dấu. '.repeat(5)

describe('an independent server', () => {
  const mock = new LLMock({ port: 0, chunkSize: 7, latency: 1 })
  let client
  before(async () => {
    await mock.start()
    client = new HolySheepStreamingClient(KEY, { baseUrl: `${mock.url}/v1`, ...QUICK })
  })
  after(async () => {
    await client.close()
    await mock.stop()
  })
  beforeEach(() => {
    mock.clearFixtures()
    mock.clearRequests()
  })

  for (const [face, ask] of Object.entries(FACES)) {
    test(`gives its whole answer to ${face}`, async () => {
      mock.onMessage(/./, { content: TEXT })
      const pieces = []
      assert.equal((await ask(client, pieces)).text, TEXT)
      if (pieces.length > 0) assert.ok(pieces.length > 10, `${pieces.length} pieces`)
    })
  }

  test('sees the request as it was written, with the key', async () => {
    mock.onMessage(/./, { content: 'ok' })
    await client.chat({ ...REQUEST, temperature: 0.5, model: 'gpt-4o-mini' })
    const { body, headers } = mock.getLastRequest()
    assert.deepEqual(body.messages, MESSAGES)
    assert.deepEqual([body.model, body.temperature, body.stream], ['gpt-4o-mini', 0.5, true])
    assert.deepEqual(body.stream_options, { include_usage: true })
    assert.equal(typeof headers.authorization, 'string')
  })

  test('tells its usage in the result', async () => {
    mock.onMessage(/./, { content: 'ok', usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 } })
    const stream = client.stream(REQUEST)
    await stream.text()
    const { usage, attempts } = await stream.result
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens], [7, 5, 12])
    assert.equal(attempts.length, 1)
  })

  test('brings its tool calls and its reasoning', async () => {
    const given = { city: 'Đà Nẵng', days: [1, 2] }
    mock.onMessage(/./, { toolCalls: [{ name: 'weather', arguments: JSON.stringify(given) }] })
    const { choices } = await client.chat(REQUEST)
    assert.equal(choices[0].finish_reason, 'tool_calls')
    const [call] = choices[0].message.tool_calls
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ['weather', given])
    mock.clearFixtures()
    mock.onMessage(/./, { content: 'Vâng.', reasoning: 'Ta nghĩ đã.' })
    const stream = client.stream(REQUEST)
    let text = ''
    for await (const chunk of stream) text += contentOf(chunk)
    assert.deepEqual([text, (await stream.result).reasoning], ['Vâng.', 'Ta nghĩ đã.'])
  })

  test('is asked again after a 500, and not after a 400', async () => {
    mock.nextRequestError(500, { message: 'overloaded' })
    mock.onMessage(/./, { content: TEXT })
    assert.equal((await FACES.text(client)).text, TEXT)
    assert.equal(mock.getRequests().length, 2)
    mock.nextRequestError(400, { message: 'bad request', type: 'invalid_request_error' })
    const error = await failure(client.chat(REQUEST))
    assert.deepEqual([error.code, error.status, error.type], ['INVALID_REQUEST', 400, 'invalid_request_error'])
    assert.match(error.message, /bad request/)
    assert.equal(mock.getRequests().length, 3)
  })

  test('that breaks off in mid-answer is told with what was received', async () => {
    mock.onMessage(/./, { content: TEXT }, { truncateAfterChunks: 5 })
    const pieces = []
    const error = await failure(FACES.textStream(client, pieces))
    assert.ok(error instanceof StreamInterruptedError, error.stack)
    assert.ok(pieces.length > 0 && TEXT.startsWith(error.partial))
    assert.equal(pieces.join(''), error.partial)
  })

  test('serves a hundred streams at once', async () => {
    mock.onMessage(/./, { content: TEXT })
    const all = await Promise.all(Array.from({ length: 100 }, () => FACES.textStream(client, [])))
    for (const { text } of all) assert.equal(text, TEXT)
  })
})
