/** A streamed answer. */
import type { ChatCompletionChunk, FinishReason, ToolCall, Usage } from './chat.js'
import type { AttemptRecord } from './events.js'
import type { Join, Segment } from './segments.js'
import type { Snapshot, SnapshotOptions } from './snapshot.js'
import type { WebStream } from './web.js'

/** What `ChatStream.result` resolves to. */
export interface StreamResult {
  /** The text of the first choice. */
  text: string
  reasoning?: string
  refusal?: string
  toolCalls?: ToolCall[]
  finishReason: FinishReason | null
  usage: Usage | null
  /** The provider's id of the answer and its creation time (epoch seconds), from the first chunk. */
  id: string | null
  created: number | null
  /** The model that answered, as the provider names it. */
  model: string
  endpoint: string
  requestId: string
  attempts: AttemptRecord[]
  /** How many times the answer was recovered after a break. */
  recoveries: number
  /** Which endpoint and model wrote which part of the text, in order. */
  segments: Segment[]
  /** How each continuation was joined to the text before it. */
  joins: Join[]
  /** The session of every attempt. */
  sessionId: string
  /**
   * What all attempts cost together, in USD: by their usage reports or, without one, overestimated by what was sent
   * and received. Null if the price of a model is unknown.
   */
  costUsd: number | null
}

/**
 * One streamed answer. It can be read once: as chunks (`for await`), as text (`textStream`) or as a whole (`text()`);
 * `result` is available with each of them. Leaving a loop early aborts the call.
 */
export class ChatStream implements AsyncIterable<ChatCompletionChunk> {
  private constructor()
  [Symbol.asyncIterator](): AsyncIterator<ChatCompletionChunk, undefined>
  /** The text of the first choice as it arrives. */
  readonly textStream: AsyncIterable<string>
  /** The outcome. It may be ignored: a failure causes no `unhandledRejection`. */
  readonly result: Promise<StreamResult>
  /** The whole text. */
  text(): Promise<string>
  /**
   * Aborts the call; pending reads reject with `reason` (an `AbortError` by default). Text that has arrived but was not read
   * is discarded, even the rest of a complete answer. The same holds when the call's `signal` is aborted.
   */
  abort(reason?: unknown): void
  /**
   * The state of the stream, at any time, even after it was aborted or has failed. Its text ends at the reader's position;
   * if the stream is not read in parts (`text()`, `result`, `pipe`, `toSSEResponse`), it is everything received. Throws a
   * `MalformedResponseError` with the code `ANSWER_TOO_LARGE` past `recovery.maxBytes`, until the answer is complete.
   */
  snapshot(options?: SnapshotOptions): Snapshot
}
// Web streams and responses.
export interface ChatStream extends WebStream {}
