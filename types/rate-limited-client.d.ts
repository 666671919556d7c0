/** A client with a public token bucket. */
import type { HolySheepStreamingClient } from './client.js'
import type { ClientOptions } from './client-options.js'
import type { RateLimitOptions } from './limits.js'

/** A client whose every attempt, retries included, takes a token from its bucket. */
export class RateLimitedClient extends HolySheepStreamingClient {
  /**
   * @param options `capacity`, `refillRate` and the other limits can be given next to the client's options. `maxQueue` then
   *   bounds both queues, the limiter's and that of `maxConcurrent`; `rateLimit.maxQueue` bounds only the limiter's.
   */
  constructor(apiKey: string | undefined, options?: number | (ClientOptions & RateLimitOptions))
  constructor(options?: ClientOptions & RateLimitOptions)
  /** How many tokens the bucket holds when full. Writable. */
  capacity: number
  /** How many tokens are in the bucket, which starts full. Writable. */
  tokens: number
  /** Tokens per second. Writable. */
  refillRate: number
  /** When the bucket was last refilled, in epoch milliseconds. Writable. */
  lastRefill: number
  /** Takes a token without waiting: true, or false if there is none or others are waiting for one. */
  acquireToken(): Promise<boolean>
  /** Waits for tokens in a bounded first-in-first-out queue. @throws QueueFullError, TimeoutError. */
  acquire(options?: { tokens?: number; signal?: AbortSignal; timeoutMs?: number }): Promise<void>
  /** Adds the tokens that have accrued since the last refill. */
  refill(): void
  /**
   * For a 429: waits as long as its `retry-after` asks (60 s without one) and resolves to true. For any other status:
   * resolves to false immediately.
   * @param response A fetch `Response`, a Node message, or `{ status, headers }`.
   */
  handleRateLimit(response: object): Promise<boolean>
}
