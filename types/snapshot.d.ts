/** What an answer has come to, to be stored and taken up again. */
import type { ChatRequest, FinishReason, Usage } from './chat.js'
import type { AttemptRecord } from './events.js'
import type { Part } from './stream.js'

/**
 * What a stream has come to: plain data, to be stored as JSON and taken up again with `client.resume`, in this
 * process or another. It holds no key.
 */
export interface Snapshot {
  version: 1
  /** Every attempt of the answer belongs to it, the resumed ones too. */
  sessionId: string
  /** The request, unless the snapshot was taken with `{ messages: 'hash' }`. */
  request?: ChatRequest
  /** SHA-256 of the JSON of the messages: an answer is resumed with the messages that it answers. */
  messagesSha256: string
  /** What was received. From `stream.snapshot()` its text ends with the last piece that the reader has taken. */
  answer: {
    id?: string
    created?: number
    model?: string
    systemFingerprint?: string
    serviceTier?: string
    text: string
    reasoning?: string
    refusal?: string
    finishReason?: FinishReason
    /** The answer is whole: to resume it asks nobody. */
    complete?: boolean
    /** The tool calls of an answer that is whole. */
    toolCalls?: Array<{ id: string; name: string; arguments: string }>
    /** A tool call had begun and broke off: it is asked for again. */
    lostToolCall?: boolean
    pieces: number
  }
  /** The sum over the attempts that reported it. */
  usage?: Usage
  /** What these attempts have cost, in USD; null where a price is not known. */
  costUsd: number | null
  attempts: AttemptRecord[]
  recoveries: number
  parts: Part[]
  seams: Seam[]
}

export interface SnapshotOptions {
  /**
   * `full`: the request is part of the snapshot. `hash`: only a hash of its messages is, and `resume` needs the
   * request again.
   * @default 'full'
   */
  messages?: 'full' | 'hash'
}

/** How a continuation was joined. */
export interface Seam {
  /** What the continuation turned out to be. */
  kind: 'exact' | 'overlap' | 'word' | 'restart' | 'anchor'
  /** Code points that were taken off because they were delivered already. */
  trimmed: number
  /** From the first character of the continuation to the choice, in milliseconds. */
  heldMs: number
  /** The choice was made at the limit of what is held, in characters or in time. */
  atBound: boolean
}
