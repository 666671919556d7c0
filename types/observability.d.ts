/** What can be heard of calls: `logger`, and the channels of `node:diagnostics_channel` (docs/observability.md). */
import type { AttemptRecord, ChatRequest, Usage } from '../index.js'

/** Whatever logs: `console`, pino, winston … Levels that it lacks are left out. */
export interface Logger {
  debug?(...args: any[]): unknown
  info?(...args: any[]): unknown
  warn?(...args: any[]): unknown
  error?(...args: any[]): unknown
}

/**
 * The message of the channels `tracing:holysheep:call:start`, `:end`, `:error`, `:asyncStart` and `:asyncEnd`: one
 * object a call, whose fields come as they are known.
 */
export interface CallTrace {
  operation: 'chat' | 'stream'
  /** The model that was asked for. */
  model: string
  /** The id of the call, as events have it; known with its first event. */
  call?: string
  /** Those of the caller's options. */
  sessionId?: string
  budgetKey?: string
  /** The request as it was given, prompts included. Not enumerable. */
  readonly request: ChatRequest
  /** Of the attempt that began last; before that, the first endpoint. */
  server?: { address: string; port: number }
  /** From the beginning of the call to the first token, in milliseconds. */
  firstTokenMs?: number
  /** At the end. */
  durationMs?: number
  result?: TracedResult
  error?: unknown
}

/** How a call ended, without its text. */
export interface TracedResult {
  /** The provider's id of the answer. */
  id?: string
  /** The model that answered, as the provider names it. */
  model: string
  endpoint: string
  finishReasons: string[]
  usage?: Usage
  attempts: AttemptRecord[]
  recoveries: number
  costUsd: number | null
  sessionId: string
}

/** The message of the channels `tracing:holysheep:attempt:…`: one object an attempt. */
export interface AttemptTrace {
  /** Its call. Not enumerable. */
  readonly parent: CallTrace
  call: string
  /** 1-based. */
  attempt: number
  endpoint: string
  model: string
  /** As it was sent (`x-client-request-id`). */
  requestId: string
  reason: 'first' | 'retry' | 'fallback' | 'hedge'
  server?: { address: string; port: number }
  firstTokenMs?: number
  durationMs?: number
  /** At the end: `complete`, `hedge-lost`, `ABORTED`, or the code of the error. */
  outcome?: string
  status?: number
  message?: string
}
