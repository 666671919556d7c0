// The SDKs of the other dialects, and typical programs that use them.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { streamText } from 'ai'
import OpenAI from 'openai'
import { createFetch } from '../../fetch.mjs'
import { KEY, QUICK } from './provider.mjs'

/** A `fetch` backed by the engine, closed at the end of the test. */
export function fetchOf(t, options = {}) {
  const fetch = createFetch({ ...QUICK, ...options })
  t.after(() => fetch.close())
  return fetch
}

/** Fields that are random or depend on the clock, so they differ in every answer. */
const VOLATILE = ['id', 'item_id', 'call_id', 'created_at', 'usage', 'sequence_number', 'signature']

/** A value without the fields that differ in every answer. */
export function withoutVolatile(value) {
  return JSON.parse(
    JSON.stringify(value, (key, inner) => (VOLATILE.includes(key) || key.startsWith('_') ? undefined : inner)),
  )
}

const QUESTION = 'Count the sheep.'
const MESSAGES = [{ role: 'user', content: QUESTION }]

// Warnings about the token limits of models are irrelevant here.
globalThis.AI_SDK_LOG_WARNINGS = false

const openai = (url, fetch) => new OpenAI({ apiKey: KEY, baseURL: url, maxRetries: 0, ...(fetch && { fetch }) })
const anthropic = (url, fetch) =>
  new Anthropic({ apiKey: KEY, baseURL: url.replace(/\/v1$/, ''), maxRetries: 0, ...(fetch && { fetch }) })

/** Streams an answer with the AI SDK and summarizes it. */
async function summarize(model) {
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

/** Typical programs of each SDK. Each resolves to what its user would see. */
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
      const consecutive = numbers.every((number, index) => number === index)
      return { consecutive, streamed: text, ...withoutVolatile(await stream.finalResponse()) }
    },
    async 'openai: responses.create, streamed'(url, fetch) {
      let last
      const stream = await openai(url, fetch).responses.create({ model: 'm', input: QUESTION, stream: true })
      for await (const event of stream) last = event
      return withoutVolatile(last)
    },
    async '@ai-sdk/openai: streamText'(url, fetch) {
      return summarize(createOpenAI({ apiKey: KEY, baseURL: url, fetch })('m'))
    },
  },
  messages: {
    async '@anthropic-ai/sdk: messages.stream'(url, fetch) {
      const stream = anthropic(url, fetch).messages.stream({ model: 'm', max_tokens: 1000, messages: MESSAGES })
      let streamed = ''
      for await (const { type, delta } of stream) {
        if (type === 'content_block_delta') streamed += delta.text ?? delta.partial_json ?? delta.thinking ?? ''
      }
      return { streamed, ...withoutVolatile(await stream.finalMessage()) }
    },
    async '@anthropic-ai/sdk: messages.create, streamed'(url, fetch) {
      const kinds = []
      const params = { model: 'm', max_tokens: 1000, messages: MESSAGES, stream: true }
      for await (const event of await anthropic(url, fetch).messages.create(params)) {
        if (event.type !== 'content_block_delta') kinds.push(event.type)
      }
      return kinds
    },
    async '@ai-sdk/anthropic: streamText'(url, fetch) {
      return summarize(createAnthropic({ apiKey: KEY, baseURL: url, fetch })('m'))
    },
  },
}

/** Programs that request an answer without streaming. */
export const NOT_STREAMED = {
  responses: async (url, fetch) =>
    withoutVolatile(await openai(url, fetch).responses.create({ model: 'm', input: QUESTION })),
  messages: async (url, fetch) =>
    withoutVolatile(await anthropic(url, fetch).messages.create({ model: 'm', max_tokens: 1000, messages: MESSAGES })),
}

/** The bytes of a streamed answer, as a provider sends them. */
export async function raw(url, dialect) {
  const fields = dialect === 'responses' ? { input: QUESTION } : { max_tokens: 1000, messages: MESSAGES }
  const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': KEY }
  const body = JSON.stringify({ model: 'm', stream: true, ...fields })
  const response = await fetch(`${url}/${dialect}`, { method: 'POST', headers, body })
  return Buffer.from(await response.arrayBuffer())
}
