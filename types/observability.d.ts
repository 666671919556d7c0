/** Observing calls: `logger`, and the channels of `node:diagnostics_channel` (docs/observability.md). */
import type { ChatRequest, Usage } from './chat.js'
import type { AttemptRecord } from './events.js'

/** A logger: `console`, pino, winston … Levels that it lacks are skipped. */
export interface Logger {
  debug?(...args: any[]): unknown
  info?(...args: any[]): unknown
  warn?(...args: any[]): unknown
  error?(...args: any[]): unknown
}

/**
 * The message of the channels `tracing:holysheep:call:start`, `:end`, `:error`, `:asyncStart` and `:asyncEnd`: one object
 * per call, whose fields are set as they become known.
 */
export interface CallTrace {
  operation: 'chat' | 'stream'
  /** The requested model. */
  model: string
  /** The id of the call, as in events; known from its first event on. */
  call?: string
  /** From the call's options. */
  sessionId?: string
  tenant?: string
  /** The request as given, prompts included. Not enumerable. */
  readonly request: ChatRequest
  /** The server of the latest attempt; before the first one, of the first endpoint. */
  server?: { address: string; port: number }
  /** From the start of the call to the first token, in milliseconds. */
  firstTokenMs?: number
  /** Set at the end. */
  durationMs?: number
  result?: TracedResult
  error?: unknown
}

/** How a call ended, without its text. */
export interface TracedResult {
  /** The provider's id of the answer. */
  id?: string
  /** The model that answered, by the provider's name for it. */
  model: string
  endpoint: string
  finishReasons: string[]
  usage?: Usage
  attempts: AttemptRecord[]
  recoveries: number
  costUsd: number | null
  sessionId: string
}

/** The message of the channels `tracing:holysheep:attempt:…`: one object per attempt. */
export interface AttemptTrace {
  /** The call that it belongs to. Not enumerable. */
  readonly parent: CallTrace
  call: string
  /** 1-based. */
  attempt: number
  endpoint: string
  model: string
  /** As sent (`x-client-request-id`). */
  requestId: string
  reason: 'first' | 'retry' | 'fallback' | 'hedge'
  server?: { address: string; port: number }
  firstTokenMs?: number
  durationMs?: number
  /** Set at the end: `complete`, `hedge-lost`, `ABORTED`, or the code of the error. */
  outcome?: string
  status?: number
  message?: string
}
