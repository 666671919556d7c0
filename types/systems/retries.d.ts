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
  /** Attempts in all, the first one included. 5 unless set. */
  maxAttempts?: number
  /** The first wait, in milliseconds. 1000 unless set. */
  baseDelay?: number
  /** No wait is longer, in milliseconds, except one that a server asks for. 60000 unless set. */
  maxDelay?: number
  /** No wait is shorter, in milliseconds. 0 unless set. */
  minDelay?: number
  /** Exponential unless set; an array is the waits themselves. */
  backoff?: 'exponential' | 'linear' | 'constant' | number[]
  /** 2 unless set. */
  multiplier?: number
  /** `true`, full jitter, unless set. */
  jitter?: boolean | Jitter
  /** A longer wait that a server asks for is not waited for: the error is thrown. 60000 unless set. */
  maxRetryAfterMs?: number
  /** Error classes, or a judgement. Unless set: as the client judges, and timeouts and broken connections of others. */
  retryable?: ReadonlyArray<abstract new (...given: any[]) => unknown> | ((error: unknown) => boolean)
  /** Told before each wait: of which attempt (1-based), why, and how long it will be. */
  onRetry?(attempt: number, error: unknown, delayMs: number): unknown
  /** Ends waits and attempts: rejects with `signal.reason`. */
  signal?: AbortSignal
}

/** Calls any function until it succeeds. Never sooner than `retry-after`. @throws The last error, as it is. */
export function retryWithBackoff<T>(
  fn: (context: { attempt: number; signal?: AbortSignal }) => T | PromiseLike<T>,
  options?: RetryWithBackoffOptions,
): Promise<T>

/** A chat request; with `stream: true` the text goes to `onChunk`, piece by piece. */
export type ManagedRequest = ChatRequest & { onChunk?(content: string): unknown }

export interface ExecuteOptions extends CallOptions {
  /** Retries after the first attempt. 3 unless set. */
  maxRetries?: number
  /** The first wait, in milliseconds; each further one is twice as long. 1000 unless set. */
  baseDelay?: number
  /** No wait is longer, in milliseconds. 10000 unless set. */
  maxDelay?: number
  /** Told before the wait of each retry (1-based). */
  onRetry?(attempt: number, error: Error, delay: number): unknown
  /** Told when the circuit is open, before the promise rejects. */
  onCircuitOpen?(): unknown
}

/** Retries behind a breaker, which is asked before every attempt. */
export class HolySheepRetryManager implements AsyncDisposable {
  /** @param options A client's; `maxConcurrent` is 100 and `maxQueue` 1000 unless set. */
  constructor(apiKey?: string, options?: ClientOptions)
  get apiKey(): string
  /** 5 failures, 30 s. May be replaced. */
  circuitBreaker: CircuitBreaker
  /** What waits for one of the `maxConcurrent` places, first in, first out. */
  readonly requestQueue: ReadonlyArray<{ request: ManagedRequest }>
  /** Whether anything runs. */
  get isProcessing(): boolean
  /**
   * @returns The answer; for `stream: true` the `StreamResult`.
   * @throws CircuitOpenError; QueueFullError; else the error of the last attempt.
   */
  executeWithRetry(request: ManagedRequest & { stream: true }, options?: ExecuteOptions): Promise<StreamResult>
  executeWithRetry(request: ManagedRequest, options?: ExecuteOptions): Promise<ChatCompletion>
  /** Exactly one attempt. */
  executeRequest(request: ManagedRequest & { stream: true }, options?: CallOptions): Promise<StreamResult>
  executeRequest(request: ManagedRequest, options?: CallOptions): Promise<ChatCompletion>
  /** By `code` or `status`, never by what a message says. */
  shouldRetry(error: unknown): boolean
  sleep(ms: number): Promise<void>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface RetryConfigOptions {
  /** Retries after the first attempt. 3 unless set. */
  maxRetries?: number
  /** In milliseconds. 1000 unless set. */
  baseDelay?: number
  /** In milliseconds; holds after the jitter. 30000 unless set. */
  maxDelay?: number
  /** 2 unless set. */
  exponentialBase?: number
  /** 50–150 % of the wait. On unless set. */
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

/** A status and what is done about it. `code` is `RETRYABLE`. */
export class RetryableError extends HolySheepError {
  constructor(statusCode: number, message: string, decision: StatusDecision)
  readonly statusCode: number
  readonly decision: StatusDecision
}

export type RetryResult =
  | { success: true; data: ChatCompletion; modelUsed: string }
  | {
      success: false
      /** The last status, where there was one. */
      statusCode?: number
      error: string
      /** How many attempts were really made. */
      finalAttempt: number
      retried: boolean
      cause: Error
    }

export interface RetryStats {
  totalRequests: number
  successful: number
  /** Retries, and first tries of further models. */
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
 * Decides by the status: 408, 500, 502, 504 wait 1, 2, 4 s; 429 5, 10, 20 s or as the server says; 503 as the config
 * says; 400, 401, 403, 404, 422 are not tried again. Broken connections are. A model that does not answer in time, or
 * has no retries left, is followed by the next of `fallbackModels`.
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
   * What a call does about a status; `delayed` where only the client's own rules know it (520–524, 529 …). With a
   * `retry.retryOn` of your own: by that.
   */
  classifyError(statusCode: number, message: string): RetryableError
  getRetryStats(): RetryStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
