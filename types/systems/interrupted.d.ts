/** Interrupted answers. */
import type { ChatRequest } from '../chat.js'
import type { HolySheepStreamingClient } from '../client.js'
import type { ClientOptions } from '../client-options.js'

/** Options of `smartStreamWithRecovery`. */
export interface SmartStreamOptions {
  /** Attempts, including the first one and recoveries. @default 5 */
  maxRetries?: number
  /** Silence before the first token and between reads, in milliseconds; healthy answers are not cut off. @default 30000 */
  timeout?: number
  /** Called with each delta of the text, once and in order; a returned promise is awaited. */
  onProgress?(content: string): unknown
  /** Called with the complete answer. */
  onComplete?(response: string): unknown
  /** Called once with the error if the call fails. */
  onError?(error: Error): unknown
}

/** How `smartStreamWithRecovery` ended. `response` is what was received, `attempts` how many requests were sent. */
export type SmartStreamOutcome =
  | { success: true; response: string; attempts: number }
  | {
      success: false
      /** `Max retries exceeded` if all attempts were used (`cause` is the last error), otherwise the error. */
      error: Error | 'Max retries exceeded'
      cause?: Error
      response: string
      attempts: number
    }

/**
 * A client that completes interrupted answers, with the interface of the HolySheep tutorials. Its waits are 2, 4, 8 and
 * then 10 s; `sendSessionId` is `'both'` by default.
 */
export class ResilientStreamingClient extends HolySheepStreamingClient {
  constructor(apiKey: string | undefined, options?: number | ClientOptions)
  constructor(options?: ClientOptions)
  /** The id of the last chunk of the call that most recently received something; `null` before. */
  lastReceivedId: string | null
  /** The text so far of the call that most recently received something. */
  accumulatedContent: string
  /** Streams an answer with recovery. Rejects only for invalid arguments. */
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
  /** The messages plus a system message that asks for the rest and quotes the last 200 characters. */
  buildRecoveryContext(messages: ChatRequest['messages'], partialResponse: string): ChatRequest['messages']
  /** `session_<ms>_<9 of base 36>`. */
  generateSessionId(): string
  /** False for the codes `INVALID_REQUEST`, `AUTH_FAILED` and `CONTENT_FILTERED`. */
  isRecoverable(error: unknown): boolean
}
