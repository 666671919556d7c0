/// <reference lib="esnext.disposable" />
/** Retries. */
import type { CallOptions } from '../call-options.js'
import type { ChatCompletion, ChatRequest } from '../chat.js'
import type { ClientOptions } from '../client-options.js'
import type { HolySheepError } from '../errors.js'
import type { CircuitBreaker } from '../limits.js'
import type { Jitter } from '../retry-options.js'
import type { StreamResult } from '../stream.js'

export interface RetryWithBackoffOptions {
  /** Attempts, including the first one. @default 5 */
  maxAttempts?: number
  /** The first wait, in milliseconds. @default 1000 */
  baseDelay?: number
  /** The maximum wait, in milliseconds, except for `retry-after`. @default 60000 */
  maxDelay?: number
  /** The minimum wait, in milliseconds. @default 0 */
  minDelay?: number
  /** An array is the waits themselves. @default 'exponential' */
  backoff?: 'exponential' | 'linear' | 'constant' | number[]
  /** @default 2 */
  multiplier?: number
  /** `true`: full jitter. @default true */
  jitter?: boolean | Jitter
  /** If a server asks for a longer wait, the error is thrown. @default 60000 */
  maxRetryAfterMs?: number
  /** Error classes, or a predicate. By default what the client retries, and other libraries' timeouts and connection errors. */
  retryable?: ReadonlyArray<abstract new (...args: any[]) => unknown> | ((error: unknown) => boolean)
  /** Called before each wait with the failed attempt (1-based), its error and the wait. */
  onRetry?(attempt: number, error: unknown, delayMs: number): unknown
  /** Aborts waits and attempts: rejects with `signal.reason`. */
  signal?: AbortSignal
}

/** Calls a function until it succeeds. `retry-after` is honored. @throws the last error, unchanged. */
export function retryWithBackoff<T>(
  fn: (context: { attempt: number; signal?: AbortSignal }) => T | PromiseLike<T>,
  options?: RetryWithBackoffOptions,
): Promise<T>

/** A chat request; with `stream: true` the text is passed to `onChunk` as it arrives. */
export type ManagedRequest = ChatRequest & { onChunk?(content: string): unknown }

export interface ExecuteOptions extends CallOptions {
  /** Retries after the first attempt. @default 3 */
  maxRetries?: number
  /** The first wait, in milliseconds; it doubles each time. @default 1000 */
  baseDelay?: number
  /** The maximum wait, in milliseconds. @default 10000 */
  maxDelay?: number
  /** Called before the wait of each retry (1-based). */
  onRetry?(attempt: number, error: Error, delay: number): unknown
  /** Called when the circuit is open, before the promise rejects. */
  onCircuitOpen?(): unknown
}

/** Retries behind a breaker, which is checked before every attempt. */
export class HolySheepRetryManager implements AsyncDisposable {
  /** @param options Client options; `maxConcurrent` is 100 and `maxQueue` 1000 by default. */
  constructor(apiKey?: string, options?: ClientOptions)
  get apiKey(): string
  /** 5 failures, 30 s. Can be replaced. */
  circuitBreaker: CircuitBreaker
  /** The requests waiting for one of the `maxConcurrent` slots, first in, first out. */
  readonly requestQueue: ReadonlyArray<{ request: ManagedRequest }>
  /** Whether any request is in flight. */
  get isProcessing(): boolean
  /**
   * @returns The answer; for `stream: true` the `StreamResult`.
   * @throws CircuitOpenError, QueueFullError, or the error of the last attempt.
   */
  executeWithRetry(request: ManagedRequest & { stream: true }, options?: ExecuteOptions): Promise<StreamResult>
  executeWithRetry(request: ManagedRequest, options?: ExecuteOptions): Promise<ChatCompletion>
  /** Exactly one attempt. */
  executeRequest(request: ManagedRequest & { stream: true }, options?: CallOptions): Promise<StreamResult>
  executeRequest(request: ManagedRequest, options?: CallOptions): Promise<ChatCompletion>
  /** By `code` or `status`, never by the message. */
  shouldRetry(error: unknown): boolean
  sleep(ms: number): Promise<void>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface RetryConfigOptions {
  /** Retries after the first attempt. @default 3 */
  maxRetries?: number
  /** In milliseconds. @default 1000 */
  baseDelay?: number
  /** In milliseconds, applied after jitter. @default 30000 */
  maxDelay?: number
  /** @default 2 */
  exponentialBase?: number
  /** Randomizes each wait between 50 % and 150 % of its length. @default true */
  jitter?: boolean
}

export class RetryConfig {
  constructor(options?: RetryConfigOptions)
  readonly maxRetries: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly exponentialBase: number
  readonly jitter: boolean
  /** The wait after the attempt with this number, counted from 0, in milliseconds. */
  calculateDelay(attempt: number): number
}

export type StatusDecision = 'immediate' | 'delayed' | 'never' | 'fallback'

/** A status and what to do about it. `code` is `RETRYABLE`. */
export class RetryableError extends HolySheepError {
  constructor(statusCode: number, message: string, decision: StatusDecision)
  readonly statusCode: number
  readonly decision: StatusDecision
}

export type RetryResult =
  | { success: true; data: ChatCompletion; modelUsed: string }
  | {
      success: false
      /** The last status, if there was one. */
      statusCode?: number
      error: string
      /** How many attempts were made. */
      finalAttempt: number
      retried: boolean
      cause: Error
    }

export interface RetryStats {
  totalRequests: number
  successful: number
  /** Retries, and fallbacks to further models. */
  retried: number
  failedPermanently: number
  /** Seconds that calls have waited before retries. */
  totalRetryCost: number
  /** `'NN.N%'` */
  retryRate: string
  /** `'NN.N%'` */
  successRate: string
  /** `'N.Ns'` */
  estimatedWaitTime: string
}

/**
 * Decides by status: 408, 500, 502 and 504 wait 1, 2, 4 s; 429 waits 5, 10, 20 s or as `retry-after` says; 503 waits as
 * configured; 400, 401, 403, 404 and 422 are not retried. Connection errors are. If a model does not answer in time or has
 * no retries left, the next of `fallbackModels` is tried.
 */
export class RetryAIManager implements AsyncDisposable {
  static readonly RETRY_STATUS_MAP: Readonly<Record<number, StatusDecision>>
  constructor(apiKey?: string, config?: RetryConfig | RetryConfigOptions, options?: ClientOptions)
  get apiKey(): string
  get baseUrl(): string
  readonly config: RetryConfig
  callWithRetry(
    messages: ChatRequest['messages'],
    model?: string,
    fallbackModels?: readonly string[],
    options?: CallOptions,
  ): Promise<RetryResult>
  /**
   * What a call does about a status; `delayed` if only the client's own table lists it (520–524, 529 …). A `retry.retryOn`
   * that you set takes precedence.
   */
  classifyError(statusCode: number, message: string): RetryableError
  getRetryStats(): RetryStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
