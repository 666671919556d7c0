/**
 * Calls in a dialect that passes through the engine event by event: OpenAI's Responses and Anthropic's Messages. The
 * body is the caller's own JSON, and what comes back is the wire's: server-sent events, each whole and with its blank
 * line, or the JSON of an answer that was not streamed, as one piece.
 */
import type { CallOptions } from '../../index'
import { type HolySheepStreamingClient, startDialect } from './client'
import { type CallHandle, CHUNKS, type Consumer } from './hub'

/** The dialects, by the end of the path that a request goes to. */
export const DIALECTS = { '/responses': 'responses', '/messages': 'messages' } as const

export type Dialect = (typeof DIALECTS)[keyof typeof DIALECTS]

/** The dialect of a URL's path; none where it is none of these. */
export function dialectOf(path: string): Dialect | undefined {
  for (const [end, dialect] of Object.entries(DIALECTS)) if (path.endsWith(end)) return dialect
  return undefined
}

/**
 * Starts a call. `consumer.piece` is handed each event as text; `consumer.end` is told the outcome as JSON (usage,
 * attempts, cost), and `consumer.error` a typed error.
 */
export function passOn(
  client: HolySheepStreamingClient,
  dialect: Dialect,
  body: string,
  options: CallOptions | undefined,
  consumer: Consumer,
): CallHandle {
  const call = startDialect(client, dialect, body, options, consumer)
  call.begin(CHUNKS)
  return call
}
