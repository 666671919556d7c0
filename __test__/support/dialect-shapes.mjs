// Answers of Messages and Responses byte for byte, and what the official SDKs read of them.
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { fetchOf } from './dialects.mjs'
import { KEY } from './provider.mjs'
import { rawProvider, sse } from './raw-provider.mjs'

export const named = (data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`

/** A stream of these events. A string is sent as it is. */
export const streamOf = (...events) => sse(events.map((one) => (typeof one === 'string' ? one : named(one))).join(''))

export const MESSAGE = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'm',
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: { input_tokens: 5, output_tokens: 1 },
}

/** The events of Messages. */
export const messages = {
  start: { type: 'message_start', message: MESSAGE },
  block: (content_block = { type: 'text', text: '' }, index = 0) => ({
    type: 'content_block_start',
    index,
    content_block,
  }),
  delta: (delta, index = 0) => ({ type: 'content_block_delta', index, delta }),
  text: (text, index = 0) => ({ type: 'content_block_delta', index, delta: { type: 'text_delta', text } }),
  endBlock: (index = 0) => ({ type: 'content_block_stop', index }),
  end: (usage = { output_tokens: 7 }, stop_reason = 'end_turn') => ({
    type: 'message_delta',
    delta: { stop_reason, stop_sequence: null },
    usage,
  }),
  stop: { type: 'message_stop' },
}

const RESPONSE = { id: 'resp_1', object: 'response', created_at: 1, model: 'm', status: 'in_progress', output: [] }

export const messageItem = (text) => ({
  id: 'item_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text, annotations: [] }],
})

/** The events of Responses. */
export const responses = {
  start: { type: 'response.created', sequence_number: 0, response: RESPONSE },
  item: (item = { ...messageItem(''), content: [] }, output_index = 0) => ({
    type: 'response.output_item.added',
    sequence_number: 1,
    output_index,
    item,
  }),
  part: {
    type: 'response.content_part.added',
    sequence_number: 2,
    item_id: 'item_1',
    output_index: 0,
    content_index: 0,
    part: { type: 'output_text', text: '', annotations: [] },
  },
  text: (delta) => ({
    type: 'response.output_text.delta',
    sequence_number: 3,
    item_id: 'item_1',
    output_index: 0,
    content_index: 0,
    delta,
  }),
  end: (output, usage = { input_tokens: 5, output_tokens: 7, total_tokens: 12 }) => ({
    type: 'response.completed',
    sequence_number: 9,
    response: { ...RESPONSE, status: 'completed', output, usage },
  }),
}

/** A stream of Messages with these events in its only text block. */
export const textMessage = (...events) =>
  streamOf(messages.start, messages.block(), ...events, messages.endBlock(), messages.end(), messages.stop)

/** A stream of Responses with these events in its only text part. */
export const textResponse = (text, ...events) =>
  streamOf(responses.start, responses.item(), responses.part, ...events, responses.end([messageItem(text)]))

const PROGRAMS = {
  async messages(url, fetch) {
    const client = new Anthropic({ apiKey: KEY, baseURL: url.replace(/\/v1$/, ''), maxRetries: 0, fetch })
    const stream = client.messages.stream({ model: 'm', max_tokens: 99, messages: [{ role: 'user', content: 'hi' }] })
    const kinds = []
    let text = ''
    for await (const event of stream) {
      kinds.push(event.type)
      if (event.delta?.type === 'text_delta') text += event.delta.text
    }
    const final = await stream.finalMessage()
    const { stop_reason: stop, usage } = final
    const finalText = final.content.map((block) => block.text ?? '').join('')
    const calls = final.content.filter((block) => block.type === 'tool_use').map(({ name, input }) => [name, input])
    const thinking = final.content.map((block) => block.thinking ?? '').join('')
    return { text, finalText, calls, thinking, stop, usage: [usage.input_tokens, usage.output_tokens], kinds, final }
  },
  async responses(url, fetch) {
    const client = new OpenAI({ apiKey: KEY, baseURL: url, maxRetries: 0, fetch })
    const stream = client.responses.stream({ model: 'm', input: 'hi' })
    const kinds = []
    let text = ''
    let args = ''
    let thinking = ''
    for await (const event of stream) {
      kinds.push(event.type)
      if (event.type === 'response.output_text.delta') text += event.delta
      if (event.type === 'response.function_call_arguments.delta') args += event.delta
      if (event.type === 'response.reasoning_summary_text.delta') thinking += event.delta
    }
    const final = await stream.finalResponse()
    const calls = final.output.filter((item) => item.type === 'function_call')
    return {
      text,
      finalText: final.output_text,
      calls: calls.map((call) => [call.name, JSON.parse(call.arguments)]),
      args,
      thinking,
      stop: final.status,
      usage: [final.usage?.input_tokens, final.usage?.output_tokens],
      kinds,
      final,
    }
  },
}

/**
 * What the SDK of the dialect reads of these bytes over `createFetch`, and how many requests it took. `response` is a
 * response, a list of them, or a function of the count of requests.
 */
export async function read(t, dialect, response, options) {
  const list = Array.isArray(response) ? response : [response]
  const { url, requests } = await rawProvider(t, (_body, count) => list[Math.min(count, list.length) - 1])
  const fetch = fetchOf(t, { retryBudget: false, ...options })
  const count = () => ({ requests: requests.length, bodies: requests })
  return PROGRAMS[dialect](url, fetch).then(
    (result) => ({ ...result, ...count() }),
    (error) => ({ error, ...count() }),
  )
}
