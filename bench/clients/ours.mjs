// holysheep itself: the build of this repository, with its defaults.
import { HolySheepStreamingClient } from '../../index.mjs'
import { MESSAGES, MODEL } from './request.mjs'

const open = (url, options) => new HolySheepStreamingClient('bench', { baseUrl: url, model: MODEL, ...options })

async function callback(client, onPiece) {
  const { success, error } = await client.streamWithRetry(MESSAGES, onPiece)
  if (!success) throw error
}

async function whole(client) {
  return (await client.chat({ model: MODEL, messages: MESSAGES })).choices[0].message.content
}

/** One call of the callback for each chunk. */
export function onChunk({ url }) {
  const client = open(url)
  return { stream: (onPiece) => callback(client, onPiece), whole: () => whole(client) }
}

/** The chunks of one wake-up joined: one call of the callback for each stream. */
export function coalesce({ url }) {
  const client = open(url, { coalesce: true })
  return { stream: (onPiece) => callback(client, onPiece), whole: () => whole(client) }
}

export function textStream({ url }) {
  const client = open(url)
  return {
    async stream(onPiece) {
      for await (const piece of client.stream({ model: MODEL, messages: MESSAGES }).textStream) onPiece(piece)
    },
    whole: () => whole(client),
  }
}
