// The SDKs of the dialects that pass through the engine, and their usual programs.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { streamText } from 'ai'
import OpenAI from 'openai'
import { createFetch } from '../../fetch.mjs'
import { KEY, QUICK } from './provider.mjs'

/** A `fetch` on the engine that is closed with the test. */
export function fetchOf(t, options = {}) {
  const fetch = createFetch({ ...QUICK, ...options })
  t.after(() => fetch.close())
  return fetch
}

/** Random or of the clock: another in every answer. */
const OWN = ['id', 'item_id', 'call_id', 'created_at', 'usage', 'sequence_number', 'signature']

/** A value without what is another in every answer. */
export function alike(value) {
  return JSON.parse(
    JSON.stringify(value, (key, inner) => (OWN.includes(key) || key.startsWith('_') ? undefined : inner)),
  )
}

const QUESTION = 'Count the sheep.'
const MESSAGES = [{ role: 'user', content: QUESTION }]

// Which model takes how many tokens is not what is tested.
globalThis.AI_SDK_LOG_WARNINGS = false

const openai = (url, fetch) => new OpenAI({ apiKey: KEY, baseURL: url, maxRetries: 0, ...(fetch && { fetch }) })
const anthropic = (url, fetch) =>
  new Anthropic({ apiKey: KEY, baseURL: url.replace(/\/v1$/, ''), maxRetries: 0, ...(fetch && { fetch }) })

/** What an answer of the AI SDK comes to. */
async function told(model) {
  const result = streamText({ model, prompt: QUESTION, maxRetries: 0, onError() {} })
  const parts = []
  for await (const part of result.fullStream) {
    if (part.type === 'error') throw part.error
    parts.push(part)
  }
  const text = parts.filter((part) => part.type === 'text-delta').map((part) => part.text)
  return {
    text: text.join(''),
    finishReason: await result.finishReason,
    kinds: new Set(parts.map((part) => part.type)),
  }
}

/** The usual programs of each SDK. Each resolves to what its user would look at. */
export const PROGRAMS = {
  responses: {
    async 'openai: responses.stream'(url, fetch) {
      const stream = openai(url, fetch).responses.stream({ model: 'm', input: QUESTION })
      const numbers = []
      let text = ''
      for await (const event of stream) {
        numbers.push(event.sequence_number)
        if (event.type === 'response.output_text.delta') text += event.delta
      }
      const unbroken = numbers.every((number, at) => number === at)
      return { unbroken, said: text, ...alike(await stream.finalResponse()) }
    },
    async 'openai: responses.create, streamed'(url, fetch) {
      let last
      const stream = await openai(url, fetch).responses.create({ model: 'm', input: QUESTION, stream: true })
      for await (const event of stream) last = event
      return alike(last)
    },
    async '@ai-sdk/openai: streamText'(url, fetch) {
      return told(createOpenAI({ apiKey: KEY, baseURL: url, fetch })('m'))
    },
  },
  messages: {
    async '@anthropic-ai/sdk: messages.stream'(url, fetch) {
      const stream = anthropic(url, fetch).messages.stream({ model: 'm', max_tokens: 1000, messages: MESSAGES })
      let said = ''
      for await (const { type, delta } of stream) {
        if (type === 'content_block_delta') said += delta.text ?? delta.partial_json ?? delta.thinking ?? ''
      }
      return { said, ...alike(await stream.finalMessage()) }
    },
    async '@anthropic-ai/sdk: messages.create, streamed'(url, fetch) {
      const kinds = []
      const asked = { model: 'm', max_tokens: 1000, messages: MESSAGES, stream: true }
      for await (const event of await anthropic(url, fetch).messages.create(asked)) {
        if (event.type !== 'content_block_delta') kinds.push(event.type)
      }
      return kinds
    },
    async '@ai-sdk/anthropic: streamText'(url, fetch) {
      return told(createAnthropic({ apiKey: KEY, baseURL: url, fetch })('m'))
    },
  },
}

/** Answers in one piece. */
export const WHOLE = {
  responses: async (url, fetch) => alike(await openai(url, fetch).responses.create({ model: 'm', input: QUESTION })),
  messages: async (url, fetch) =>
    alike(await anthropic(url, fetch).messages.create({ model: 'm', max_tokens: 1000, messages: MESSAGES })),
}

/** The bytes of a streamed answer, as a provider sends them. */
export async function raw(url, dialect) {
  const asked = dialect === 'responses' ? { input: QUESTION } : { max_tokens: 1000, messages: MESSAGES }
  const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': KEY }
  const body = JSON.stringify({ model: 'm', stream: true, ...asked })
  const response = await fetch(`${url}/${dialect}`, { method: 'POST', headers, body })
  return Buffer.from(await response.arrayBuffer())
}
