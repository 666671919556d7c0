// A third-party provider (@copilotkit/aimock), because our own simulator and client could share a misreading of the
// protocol.
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { LLMock } from '@copilotkit/aimock'
import { HolySheepStreamingClient, StreamInterruptedError } from '../index.mjs'
import { contentOf, failure, KEY, MESSAGES, METHODS, QUICK, REQUEST } from './support/provider.mjs'

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

  for (const [method, call] of Object.entries(METHODS)) {
    test(`delivers its complete answer through ${method}`, async () => {
      mock.onMessage(/./, { content: TEXT })
      const deltas = []
      assert.equal((await call(client, deltas)).text, TEXT)
      if (deltas.length > 0) assert.ok(deltas.length > 10, `${deltas.length} deltas`)
    })
  }

  test('receives the request unchanged, with the key', async () => {
    mock.onMessage(/./, { content: 'ok' })
    await client.chat({ ...REQUEST, temperature: 0.5, model: 'gpt-4o-mini' })
    const { body, headers } = mock.getLastRequest()
    assert.deepEqual(body.messages, MESSAGES)
    assert.deepEqual([body.model, body.temperature, body.stream], ['gpt-4o-mini', 0.5, true])
    assert.deepEqual(body.stream_options, { include_usage: true })
    assert.equal(typeof headers.authorization, 'string')
  })

  test('has its usage in the result', async () => {
    mock.onMessage(/./, { content: 'ok', usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 } })
    const stream = client.stream(REQUEST)
    await stream.text()
    const { usage, attempts } = await stream.result
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens], [7, 5, 12])
    assert.equal(attempts.length, 1)
  })

  test('has its tool calls and reasoning delivered', async () => {
    const args = { city: 'Đà Nẵng', days: [1, 2] }
    mock.onMessage(/./, { toolCalls: [{ name: 'weather', arguments: JSON.stringify(args) }] })
    const { choices } = await client.chat(REQUEST)
    assert.equal(choices[0].finish_reason, 'tool_calls')
    const [call] = choices[0].message.tool_calls
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ['weather', args])
    mock.clearFixtures()
    mock.onMessage(/./, { content: 'Vâng.', reasoning: 'Ta nghĩ đã.' })
    const stream = client.stream(REQUEST)
    let text = ''
    for await (const chunk of stream) text += contentOf(chunk)
    assert.deepEqual([text, (await stream.result).reasoning], ['Vâng.', 'Ta nghĩ đã.'])
  })

  test('gets a retry after a 500, and none after a 400', async () => {
    mock.nextRequestError(500, { message: 'overloaded' })
    mock.onMessage(/./, { content: TEXT })
    assert.equal((await METHODS.text(client)).text, TEXT)
    assert.equal(mock.getRequests().length, 2)
    mock.nextRequestError(400, { message: 'bad request', type: 'invalid_request_error' })
    const error = await failure(client.chat(REQUEST))
    assert.deepEqual([error.code, error.status, error.type], ['INVALID_REQUEST', 400, 'invalid_request_error'])
    assert.match(error.message, /bad request/)
    assert.equal(mock.getRequests().length, 3)
  })

  test('that interrupts an answer causes an error with the text received', async () => {
    mock.onMessage(/./, { content: TEXT }, { truncateAfterChunks: 5 })
    const deltas = []
    const error = await failure(METHODS.textStream(client, deltas))
    assert.ok(error instanceof StreamInterruptedError, error.stack)
    assert.ok(deltas.length > 0 && TEXT.startsWith(error.partial))
    assert.equal(deltas.join(''), error.partial)
  })

  test('serves a hundred concurrent streams', async () => {
    mock.onMessage(/./, { content: TEXT })
    const all = await Promise.all(Array.from({ length: 100 }, () => METHODS.textStream(client, [])))
    for (const { text } of all) assert.equal(text, TEXT)
  })
})
