/** Circuit breaker and rate limiter. */

/** Options of a circuit breaker. */
export interface CircuitBreakerOptions {
  /** Consecutive failures that open the breaker. @default 5 */
  failureThreshold?: number
  /** How long it stays open before it admits a probe, in milliseconds. @default 60000 */
  openMs?: number
  /** The HolySheep tutorials' name for `openMs`. Giving both is an error. */
  timeout?: number
  /** Concurrent probes while it is half-open. @default 1 */
  halfOpenMaxCalls?: number
  /** Successful probes that close it. @default 1 */
  successThreshold?: number
  /** Also open when this share of the calls in the window failed (0–1). Off by default. */
  errorRate?: number
  /** The window of `errorRate`, in milliseconds. @default 30000 */
  windowMs?: number
  /** The minimum number of calls in the window for `errorRate` to apply. @default 10 */
  minimumCalls?: number
  /**
   * Whether an error counts as a failure. By default every error of a function that `execute()` runs; in a client timeouts,
   * connection errors, truncations, 5xx and errors in the stream, but not 4xx. A client does not call it for errors for
   * which no request was made (a full queue, the cost cap).
   */
  isFailure?(error: unknown): boolean
  /** Called on every state change. */
  onStateChange?(change: { from: CircuitState; to: CircuitState }): void
}

export type CircuitState = 'CLOSED' | 'OPEN' | 'HALF_OPEN'

/** Options of a limiter. */
export interface RateLimitOptions {
  /** The burst size, in requests. @default 100 */
  capacity?: number
  /** Requests per second. @default 10 */
  refillRate?: number
  /** Instead of `capacity` and `refillRate`: this many per minute, all of which may be sent in one burst. */
  requestsPerMinute?: number
  /**
   * Model tokens per minute: estimated before a call and corrected by its usage. An answer without `max_tokens` is
   * estimated as the model's longest recent answer, at first as the catalogue's output limit. Off by default.
   */
  tokensPerMinute?: number
  /** How many attempts may wait; the next one fails with a `QueueFullError`. @default 1000 */
  maxQueue?: number
  /**
   * `'headers'`: follow the provider's `x-ratelimit-*` and `anthropic-ratelimit-*` headers, which lower the limits and never
   * raise them. Where the provider's limit refills gradually, requests follow that rate; otherwise they wait for its reset.
   * @default false
   */
  adapt?: 'headers' | false
}

/**
 * A circuit breaker. Used standalone (`canExecute`, `recordSuccess`, `recordFailure`: synchronous), around a function
 * (`execute`), or in a client (`circuitBreaker: breaker`), it is the same state machine.
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
  /** The `isFailure` option. */
  readonly isFailure: ((error: unknown) => boolean) | undefined
  /** Called on every state change. */
  onStateChange: ((change: { from: CircuitState; to: CircuitState }) => void) | undefined
  /** Whether a call is admitted. While half-open, `halfOpenMaxCalls` are admitted at a time. */
  canExecute(): boolean
  recordSuccess(): void
  recordFailure(): void
  /** Successes among the last 10 calls, 0–100; 100 when there were none. */
  getHealthScore(): number
  /**
   * Runs `fn` if the breaker admits it. A call that began before the breaker opened has no effect when it ends later.
   * @throws CircuitOpenError with `retryAfterMs` if it is not admitted; otherwise what `fn` throws.
   */
  execute<T>(fn: () => T | PromiseLike<T>): Promise<T>
  open(): void
  close(): void
  reset(): void
}
