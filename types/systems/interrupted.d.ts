/** Interrupted answers. */
import type { ChatRequest } from '../chat.js'
import type { HolySheepStreamingClient } from '../client.js'
import type { ClientOptions } from '../client-options.js'

/** Options of `smartStreamWithRecovery`. */
export interface SmartStreamOptions {
  /** Attempts in all, breaks included. @default 5 */
  maxRetries?: number
  /** Silence before the first token and between two reads, in milliseconds; a long healthy answer is not cut. @default 30000 */
  timeout?: number
  /** Told of each piece of text, once and in order; a promise that it returns is awaited. */
  onProgress?(content: string): unknown
  /** Told of the whole answer. */
  onComplete?(response: string): unknown
  /** Told of the error, once, when the call has failed. */
  onError?(error: Error): unknown
}

/** How `smartStreamWithRecovery` ended. `response` is what was received, `attempts` how many requests were made. */
export type SmartStreamOutcome =
  | { success: true; response: string; attempts: number }
  | {
      success: false
      /** `Max retries exceeded` where all attempts were used up (`cause` is the last error), else the error. */
      error: Error | 'Max retries exceeded'
      cause?: Error
      response: string
      attempts: number
    }

/**
 * A client that finishes interrupted answers, in the form of the documents. Its waits are 2, 4, 8 and then 10 s; its
 * requests carry `session_id` unless `sessionField` is false.
 */
export class ResilientStreamingClient extends HolySheepStreamingClient {
  constructor(apiKey: string | undefined, options?: number | ClientOptions)
  constructor(options?: ClientOptions)
  /** The id of the last chunk of the call that last received something; `null` before. */
  lastReceivedId: string | null
  /** The text so far of the call that last received something. */
  accumulatedContent: string
  /** An answer with recovery. Rejects only for invalid arguments. */
  smartStreamWithRecovery(
    model: string,
    messages: ChatRequest['messages'],
    options?: SmartStreamOptions,
  ): Promise<SmartStreamOutcome>
  /** Exactly one attempt; resolves to its text. `timeout` as in `SmartStreamOptions`. */
  streamSession(
    model: string,
    messages: ChatRequest['messages'],
    sessionId: string,
    timeout?: number,
    onProgress?: (content: string) => unknown,
  ): Promise<string>
  /** The messages with one system message more, which asks for the rest and quotes the last 200 characters. */
  buildRecoveryContext(messages: ChatRequest['messages'], partialResponse: string): ChatRequest['messages']
  /** `session_<ms>_<9 of base 36>`. */
  generateSessionId(): string
  /** False for the codes `INVALID_REQUEST`, `AUTH_FAILED` and `CONTENT_FILTERED`. */
  isRecoverable(error: unknown): boolean
}
