/** A streamed answer. */
import type { ChatCompletionChunk, FinishReason, ToolCall, Usage } from './chat.js'
import type { AttemptRecord } from './events.js'
import type { Seam, Snapshot, SnapshotOptions } from './snapshot.js'
import type { WebStream } from './web.js'

/** What `ChatStream.result` resolves to. */
export interface StreamResult {
  /** The text of the first choice: the sum of its pieces. */
  text: string
  reasoning?: string
  refusal?: string
  toolCalls?: ToolCall[]
  finishReason: FinishReason | null
  usage: Usage | null
  /** The provider's id of the answer, and when it was made (epoch seconds): those of its first chunk. */
  id: string | null
  created: number | null
  /** The model that answered, as the provider names it. */
  model: string
  endpoint: string
  requestId: string
  attempts: AttemptRecord[]
  /** How often the answer was taken up again after a break. */
  recoveries: number
  /** Who wrote which part of the text, in order. */
  parts: Part[]
  /** How each continuation was joined to what was delivered. */
  seams: Seam[]
  /** The session that every attempt belonged to (`x-session-id`). */
  sessionId: string
  /**
   * What all attempts have cost together, in USD: by their usage, and where none came by what was sent and received,
   * reckoned high. Null where the price of a model is not known.
   */
  costUsd: number | null
}

/** Who wrote a part of an answer, and how long it is in code points. */
export interface Part {
  endpoint: string
  model: string
  characters: number
}

/**
 * One streamed answer. It is read once: as chunks (`for await`), as text (`textStream`) or in one
 * piece (`text()`); `result` goes with each of them. Leaving a loop early aborts the call.
 */
export class ChatStream implements AsyncIterable<ChatCompletionChunk> {
  private constructor()
  [Symbol.asyncIterator](): AsyncIterator<ChatCompletionChunk, undefined>
  /** The text of the first choice, piece by piece. */
  readonly textStream: AsyncIterable<string>
  /** How it went. Nobody has to listen: a failure causes no `unhandledRejection`. */
  readonly result: Promise<StreamResult>
  /** The whole text. */
  text(): Promise<string>
  /**
   * Ends the call; everything that waits rejects with `reason` (by default an `AbortError`). What has come and was not
   * read yet is not given any more, though it be the rest of a whole answer; so too where the call's `signal` is aborted.
   */
  abort(reason?: unknown): void
  /**
   * What the stream has come to, at any moment, also after it was aborted or has failed. Its text is what the reader
   * has taken; where nobody reads pieces here (`text()`, `result`, `pipe`, `toSSEResponse`), all that was received.
   */
  snapshot(options?: SnapshotOptions): Snapshot
}
// The ways to a browser.
export interface ChatStream extends WebStream {}
