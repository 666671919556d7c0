/** The ways to read an answer: with the `openai` package alone, and with this one. */
import { HolySheepStreamingClient } from 'holysheep'
import { createFetch } from 'holysheep/fetch'
import OpenAI from 'openai'
import { answerOf, shape } from './answer.mjs'

const OPTIONS = {
  maxRetries: 0,
  recovery: false,
  circuitBreaker: false,
  firstTokenTimeoutMs: 20_000,
  idleTimeoutMs: 20_000,
}

/** Each mode yields `{ strict, lenient }`, or `{ error, strict, lenient }` with what was received before the error. */
export function modesOf(url) {
  const client = new HolySheepStreamingClient('sk-key', { ...OPTIONS, baseUrl: url })
  const openai = (fetch) =>
    new OpenAI({ apiKey: 'sk-key', baseURL: url, maxRetries: 0, timeout: 20_000, logLevel: 'off', fetch })
  const [alone, over] = [openai(), openai(createFetch(OPTIONS))]
  return {
    sdk: (c) => chunks(c, async () => alone.chat.completions.create(streamed(c))),
    chunks: (c) => chunks(c, () => client.stream(streamed(c))),
    createFetch: (c) => chunks(c, async () => over.chat.completions.create(streamed(c))),
    textStream: (c) => attempt(() => textStream(client, c)),
    chat: (c) => attempt(() => chat(client, c)),
  }
}

const request = (c) => ({
  model: String(c.number),
  messages: [{ role: 'user', content: 'Hi' }],
  ...(c.n > 1 && { n: c.n }),
})
const streamed = (c) => ({ ...request(c), stream: true, stream_options: { include_usage: true } })

async function chunks(c, start) {
  const received = []
  try {
    for await (const chunk of await start()) received.push(chunk)
    return { ...answerOf(received, c.n), received }
  } catch (error) {
    return { error, ...answerOf(received, c.n), received }
  }
}

async function attempt(read) {
  try {
    const answer = await read()
    return { strict: answer, lenient: answer }
  } catch (error) {
    return { error }
  }
}

/** Only the first choice has a text stream. */
async function textStream(client, c) {
  const stream = client.stream(request(c))
  let text = ''
  for await (const delta of stream.textStream) text += delta
  const { reasoning = '', refusal = '', toolCalls, finishReason: finish, usage } = await stream.result
  return { choices: [shape({ text, reasoning, refusal, calls: calls(toolCalls), finish })], usage, isFirstChoice: true }
}

async function chat(client, c) {
  const { choices, usage = null } = await client.chat(request(c))
  const read = ({ message, finish_reason: finish }) => {
    const { content, reasoning_content: reasoning, refusal, tool_calls } = message
    return shape({
      text: content ?? '',
      reasoning: reasoning ?? '',
      refusal: refusal ?? '',
      calls: calls(tool_calls),
      finish,
    })
  }
  return { choices: choices.map(read), usage }
}

const calls = (list) => (list ?? []).map(({ id, function: { name, arguments: args } = {} }) => ({ id, name, args }))
