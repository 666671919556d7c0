// holysheep: the build of this repository with default options.
import { HolySheepStreamingClient } from '../../index.mjs'
import { MESSAGES, MODEL } from './request.mjs'

const open = (url, options) => new HolySheepStreamingClient('bench', { baseUrl: url, model: MODEL, ...options })

async function callback(client, onDelta) {
  const { success, error } = await client.streamWithRetry(MESSAGES, onDelta)
  if (!success) throw error
}

async function chat(client) {
  return (await client.chat({ model: MODEL, messages: MESSAGES })).choices[0].message.content
}

/** One callback for each chunk. */
export function onChunk({ url }) {
  const client = open(url)
  return { stream: (onDelta) => callback(client, onDelta), chat: () => chat(client) }
}

/** One callback for each stream and wake-up, with the chunks joined. */
export function coalesce({ url }) {
  const client = open(url, { coalesce: true })
  return { stream: (onDelta) => callback(client, onDelta), chat: () => chat(client) }
}

export function textStream({ url }) {
  const client = open(url)
  return {
    async stream(onDelta) {
      for await (const delta of client.stream({ model: MODEL, messages: MESSAGES }).textStream) onDelta(delta)
    },
    chat: () => chat(client),
  }
}
