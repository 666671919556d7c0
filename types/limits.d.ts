/** Circuit breaker and rate limiter. */
import type { HolySheepStreamingClient } from './client.js'
import type { ClientOptions } from './client-options.js'

/** Options of a circuit breaker. */
export interface CircuitBreakerOptions {
  /** Consecutive failures that open it. @default 5 */
  failureThreshold?: number
  /** How long it stays open before a probe is let through, in milliseconds. @default 60000 */
  timeout?: number
  /** Probes at a time while it is half-open. @default 1 */
  halfOpenMaxCalls?: number
  /** Successful probes that close it. @default 1 */
  successThreshold?: number
  /** Also open when this share of the calls in the window failed (0–1). Off unless set. */
  errorRate?: number
  /** The window of `errorRate`, in milliseconds. @default 30000 */
  windowMs?: number
  /** Calls in the window below which `errorRate` says nothing. @default 10 */
  minimumCalls?: number
  /**
   * Whether an error counts as a failure. Without it: every error of a function that `execute()` runs; in a client
   * timeouts, connection errors, truncations, 5xx and errors in the stream, but no 4xx.
   */
  isFailure?(error: unknown): boolean
  /** Told of every change of state. */
  onStateChange?(change: { from: CircuitState; to: CircuitState }): void
}

export type CircuitState = 'CLOSED' | 'OPEN' | 'HALF_OPEN'

/** Options of a limiter. */
export interface RateLimitOptions {
  /** Requests that may come at once. @default 100 */
  capacity?: number
  /** Requests a second. @default 10 */
  refillRate?: number
  /** Instead of `capacity` and `refillRate`: this many a minute, all of which may come at once. */
  requestsPerMinute?: number
  /**
   * Model tokens a minute: estimated before a call, corrected by its usage. An answer without `max_tokens` counts as the
   * longest of its model lately, before there was one as the catalogue's output limit. Off unless set.
   */
  tokensPerMinute?: number
  /** How many may wait; one more gets a `QueueFullError`. @default 1000 */
  maxQueue?: number
  /**
   * Follow the provider's `x-ratelimit-*` and `anthropic-ratelimit-*` headers: they lower the limits, never raise them. A
   * provider whose limit comes back bit by bit is followed at its rate, another is waited for until its reset.
   * @default false
   */
  followServer?: boolean
}

/**
 * A circuit breaker. By hand (`canExecute`, `recordSuccess`, `recordFailure`: synchronous), around a
 * function (`execute`), or in a client (`circuitBreaker: breaker`): one state machine.
 */
export class CircuitBreaker {
  constructor(failureThreshold?: number, timeout?: number)
  constructor(options?: CircuitBreakerOptions)
  /** Consecutive failures that open it. Writable. */
  failureThreshold: number
  /** How long it stays open, in milliseconds. Writable. */
  timeout: number
  halfOpenMaxCalls: number
  successThreshold: number
  /** Consecutive failures so far. Writable. */
  failures: number
  /** When the last failure was recorded, in epoch milliseconds. Writable. */
  lastFailureTime: number | null
  state: CircuitState
  /** The judgement that it was made with. */
  readonly isFailure: ((error: unknown) => boolean) | undefined
  /** Told of every change of state. */
  onStateChange: ((change: { from: CircuitState; to: CircuitState }) => void) | undefined
  /** Asks for a place. While half-open it admits `halfOpenMaxCalls` at a time. */
  canExecute(): boolean
  recordSuccess(): void
  recordFailure(): void
  /** Successes among the last 10 calls, 0–100; 100 when there were none. */
  getHealthScore(): number
  /**
   * Runs `fn` if the breaker admits it. A call from before an opening changes nothing when it ends late.
   * @throws CircuitOpenError with `retryAfterMs` where it does not; else what `fn` throws.
   */
  execute<T>(fn: () => T | PromiseLike<T>): Promise<T>
  open(): void
  close(): void
  reset(): void
}

/** A client every attempt of which passes its bucket, retries included. */
export class RateLimitedClient extends HolySheepStreamingClient {
  /**
   * @param options `capacity`, `refillRate` and the other limits may stand beside the client's options. `maxQueue` bounds both
   *   queues then, the limiter's and that of `maxConcurrent`; `rateLimit.maxQueue` the limiter's alone.
   */
  constructor(apiKey: string | undefined, options?: number | (ClientOptions & RateLimitOptions))
  constructor(options?: ClientOptions & RateLimitOptions)
  /** What the bucket holds when it is full. Writable. */
  capacity: number
  /** What is in the bucket; it starts full. Writable. */
  tokens: number
  /** Tokens a second. Writable. */
  refillRate: number
  /** When the bucket was last refilled, in epoch milliseconds. Writable. */
  lastRefill: number
  /** Takes a token at once: true, or false where there is none or others wait for one. */
  acquireToken(): Promise<boolean>
  /** Waits for tokens in a bounded first-in-first-out queue. @throws QueueFullError, TimeoutError. */
  acquire(options?: { tokens?: number; signal?: AbortSignal; timeoutMs?: number }): Promise<void>
  /** Adds what has come since the last refill. */
  refill(): void
  /**
   * For a 429: waits as long as it asks (60 s where it does not say) and resolves to true. For any
   * other status: false, at once.
   * @param response A fetch `Response`, a Node message, or `{ status, headers }`.
   */
  handleRateLimit(response: object): Promise<boolean>
}
