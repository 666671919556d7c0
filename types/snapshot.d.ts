/** The state of an answer, to be stored and resumed later. */
import type { ChatRequest, FinishReason, Usage } from './chat.js'
import type { AttemptRecord } from './events.js'
import type { Join, Segment } from './segments.js'

/**
 * The state of a stream as plain data, to be stored as JSON and resumed with `client.resume`, in this process or another.
 * It contains no API key.
 */
export interface Snapshot {
  version: 1
  /** The session of every attempt of the answer, including resumed ones. */
  sessionId: string
  /** The request; absent if the snapshot was taken with `{ messages: 'hash' }`. */
  request?: ChatRequest
  /** SHA-256 of the messages' JSON: an answer can only be resumed with the messages it answers. */
  messagesSha256: string
  /**
   * The API of the request, if it is not chat completions. `client.resume` reads such an answer as text (`textStream`,
   * `text()`, `result`); its request is the body for `/v1/responses` or `/v1/messages`.
   */
  dialect?: 'responses' | 'messages'
  /**
   * A background response of `/v1/responses`, as its provider keeps it: its id, the number of the last event that was
   * delivered, and the endpoint that has it. It is resumed there without a second generation.
   */
  response?: {
    id: string
    sequenceNumber?: number
    endpoint: string
    /** More than text was delivered, so that the answer cannot be continued without the provider that has it. */
    onlyThere?: boolean
  }
  /** What was received. In `stream.snapshot()` the text ends at the reader's position. */
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
    /** The answer is complete: resuming it sends no request. */
    complete?: boolean
    /** The tool calls of a complete answer. */
    toolCalls?: Array<{ id: string; name: string; arguments: string }>
    /** A tool call was interrupted: it is requested again. */
    lostToolCall?: boolean
    /** How many text deltas were received. */
    deltas: number
  }
  /** The sum over the attempts that reported it. */
  usage?: Usage
  /** What these attempts cost, in USD; null if a price is unknown. */
  costUsd: number | null
  attempts: AttemptRecord[]
  recoveries: number
  segments: Segment[]
  joins: Join[]
}

export interface SnapshotOptions {
  /**
   * `full`: the snapshot contains the request. `hash`: it contains only a hash of the messages, and `resume` needs the
   * request again. @default 'full'
   */
  messages?: 'full' | 'hash'
}
