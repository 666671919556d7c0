// The model of `holysheep/ai-sdk`, without the AI SDK.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RESET, setup } from '../support/ai-sdk.mjs'
import { CHUNKS, failure } from '../support/provider.mjs'

const user = (text) => ({ role: 'user', content: [{ type: 'text', text }] })
const read = async (stream) => {
  const parts = []
  for await (const part of stream) parts.push(part)
  return parts
}

test('the model emits each part once, and raw chunks on request', async (t) => {
  const { model } = await setup(t, {}, { chunks: ['a', 'b'] })
  const { stream, request } = await model.doStream({ prompt: [user('x')], includeRawChunks: true })
  const parts = await read(stream)
  const types = parts.map(({ type }) => type)
  assert.deepEqual(
    types.filter((type) => type !== 'raw'),
    ['stream-start', 'response-metadata', 'text-start', 'text-delta', 'text-delta', 'text-end', 'finish'],
  )
  // The role, two texts, the finish reason.
  assert.equal(types.filter((type) => type === 'raw').length, 4)
  assert.equal(request.body.model, 'gpt-4.1')
  const withoutRaw = await read((await model.doStream({ prompt: [user('x')] })).stream)
  assert.deepEqual(
    withoutRaw.map(({ type }) => type),
    types.filter((type) => type !== 'raw'),
  )
})

test('the model skips chunks without content', async (t) => {
  const { model } = await setup(t, {}, { chunks: ['a', '', '', 'b'] })
  const { stream } = await model.doStream({ prompt: [user('x')] })
  const reader = stream.getReader()
  const parts = []
  for (let result = await reader.read(); !result.done; result = await reader.read()) parts.push(result.value)
  assert.equal(parts.map(({ delta = '' }) => delta).join(''), 'ab')
  assert.equal(parts.at(-1).type, 'finish')
})

test('the model rejects with the reason of an abort instead of emitting an error part', async (t) => {
  const { model } = await setup(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 1, how: 'stall' } })
  const controller = new AbortController()
  const { stream } = await model.doStream({ prompt: [user('x')], abortSignal: controller.signal })
  const reason = new Error('enough')
  controller.abort(reason)
  assert.equal(await failure(read(stream)), reason)
})

test('the model emits no tool call that was interrupted', async (t) => {
  const scenario = { chunks: [], toolCalls: [{ id: 'c', name: 'n', arguments: { a: 'long enough' } }] }
  const { model } = await setup(t, { toolCalls: 'stream' }, { ...scenario, disconnect: RESET })
  const types = (await read((await model.doStream({ prompt: [user('x')] })).stream)).map(({ type }) => type)
  assert.ok(types.includes('tool-input-delta') && types.includes('error'), String(types))
  assert.equal(types.includes('tool-call'), false)
})

test('the model reports cached tokens and reasoning tokens', async (t) => {
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 7,
    total_tokens: 17,
    prompt_tokens_details: { cached_tokens: 4 },
    completion_tokens_details: { reasoning_tokens: 3 },
  }
  const { model } = await setup(t, {}, { chunks: CHUNKS, usage })
  const expected = {
    inputTokens: { total: 10, noCache: 6, cacheRead: 4, cacheWrite: undefined },
    outputTokens: { total: 7, text: 4, reasoning: 3 },
    raw: usage,
  }
  assert.deepEqual((await model.doGenerate({ prompt: [user('x')] })).usage, expected)
  assert.deepEqual((await read((await model.doStream({ prompt: [user('x')] })).stream)).at(-1).usage, expected)
})

test('the model converts a conversation with tools to the format of the provider', async (t) => {
  const { model, simulator } = await setup(t)
  const call = (id, input) => ({ type: 'tool-call', toolCallId: id, toolName: 'n', input })
  const result = (id, output) => ({ type: 'tool-result', toolCallId: id, toolName: 'n', output })
  await model.doGenerate({
    prompt: [
      user('x'),
      { role: 'assistant', content: [{ type: 'reasoning', text: 'hm' }, call('1', { a: 1 }), call('2', '{"b":2}')] },
      {
        role: 'tool',
        content: [
          result('1', { type: 'json', value: { ok: true } }),
          result('2', { type: 'execution-denied', reason: 'no' }),
          result('3', { type: 'error-text', value: 'failed' }),
          { type: 'tool-approval-response', approvalId: 'a', approved: true },
        ],
      },
      { role: 'assistant', content: [{ type: 'text', text: 'done' }] },
      { role: 'user', content: [{ type: 'file', mediaType: 'image/*', data: { type: 'data', data: '/9j/AAAA' } }] },
    ],
    tools: [{ type: 'function', name: 'n', inputSchema: { type: 'object' } }],
    toolChoice: { type: 'tool', toolName: 'n' },
  })
  const { messages, tool_choice } = simulator.requests[0].json
  const called = (id, json) => ({ id, type: 'function', function: { name: 'n', arguments: json } })
  assert.deepEqual(messages.slice(1), [
    {
      role: 'assistant',
      content: null,
      reasoning_content: 'hm',
      tool_calls: [called('1', '{"a":1}'), called('2', '{"b":2}')],
    },
    { role: 'tool', tool_call_id: '1', content: '{"ok":true}' },
    { role: 'tool', tool_call_id: '2', content: 'no' },
    { role: 'tool', tool_call_id: '3', content: 'failed' },
    { role: 'assistant', content: 'done' },
    { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/jpeg;base64,/9j/AAAA' } }] },
  ])
  assert.deepEqual(tool_choice, { type: 'function', function: { name: 'n' } })
})

test('the model asks for any JSON and warns when structured outputs are off', async (t) => {
  const { model, simulator } = await setup(t, { structuredOutputs: false })
  const responseFormat = { type: 'json', schema: { type: 'object' } }
  const { warnings } = await model.doGenerate({ prompt: [user('x')], responseFormat })
  assert.deepEqual(simulator.requests[0].json.response_format, { type: 'json_object' })
  assert.equal(warnings[0].feature, 'responseFormat')
})
