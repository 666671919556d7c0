/** How often, when and after which failures an attempt is retried. */

/** How waits are randomized. The clamp to `maxDelayMs` is applied afterwards. */
export type Jitter = 'none' | 'full' | 'equal' | 'proportional' | 'decorrelated'

/** How retries are spaced. */
export interface RetryOptions {
  /** The shape of the backoff, or the waits themselves in milliseconds (the last one repeats). @default 'exponential' */
  backoff?: 'exponential' | 'linear' | 'constant' | number[]
  /** The first wait, in milliseconds. @default 1000 */
  baseDelayMs?: number
  /** The minimum wait, in milliseconds; at most `maxDelayMs`. @default 0 */
  minDelayMs?: number
  /** The maximum wait, in milliseconds, applied after jitter. @default 60000 */
  maxDelayMs?: number
  /** The factor of an exponential backoff. @default 2 */
  multiplier?: number
  /** How waits are randomized, so that clients that failed together do not retry together. @default 'full' */
  jitter?: Jitter
  /**
   * The longest `retry-after` to wait for, in milliseconds. If a server asks for more, the call goes to the next route or
   * fails immediately, with the wait in the error. @default 60000
   */
  maxRetryAfterMs?: number
  /**
   * The longest wait after a 429 that comes before another model, in milliseconds: its `retry-after`, or the first backoff. Other
   * endpoints of the same model come before the wait, which is made once for each model. `0`: another model comes first. Not
   * in the methods of the HolySheep tutorials. @default 5000
   */
  maxWaitBeforeFallbackMs?: number
  /**
   * What to do about a failure, merged over the default table (docs/retries.md): from a status (`429`), an error code of
   * this package or Node (`'TIMEOUT'`, `'ECONNRESET'`) or a class (`'5xx'`, `'rate-limit'`) to a decision. The most
   * specific name wins.
   */
  retryOn?: RetryDecisionTable
  /**
   * The wait after ECONNRESET, in place of the backoff: uniformly random within a range. `true` means 1–3 s. Off by
   * default.
   */
  connectionReset?: ConnectionResetOptions | boolean
}

/** The wait after a reset connection. */
export interface ConnectionResetOptions {
  /** The minimum, in milliseconds; at most `maxDelayMs`. @default 1000 */
  minDelayMs?: number
  /** The maximum, in milliseconds. @default 3000 */
  maxDelayMs?: number
}

/**
 * What to do about a failure. `retry`: another attempt, with the configured backoff. `never`: the call fails immediately.
 * `fallback`: go to the next route, and do not use this one again in this call. `delaysMs`, or the array alone: another
 * attempt, with the n-th of these waits before the n-th retry, the last one repeated, with neither jitter nor the
 * `maxDelayMs` cap, but never sooner than `retry-after`. With `repeat: false` the call fails when the waits are used up.
 * For `quota` only `never` and `fallback`: a key whose quota is exhausted is not tried again.
 */
export type RetryDecision = 'retry' | 'never' | 'fallback' | number[] | { delaysMs: number[]; repeat?: boolean }

/** The classes of failures in a decision table, in addition to statuses and codes. */
export type FailureClass =
  | '4xx'
  | '5xx'
  | 'connection'
  | 'timeout'
  | 'rate-limit'
  | 'quota'
  | 'auth'
  | 'context-length'
  | 'content-filter'

/** Decisions by status (400–599), code or class. */
export type RetryDecisionTable = { [failure in FailureClass | (string & {}) | number]?: RetryDecision }

/** How many retries there may be as a share of the calls, so that retries do not amplify an outage. */
export interface RetryBudgetOptions {
  /** Retries per call, as a share from 0 to 1: 0.2 is 20 %. @default 0.2 */
  ratio?: number
  /** Retries per second that are always available. @default 10 */
  minPerSecond?: number
  /** How long calls and retries count, in milliseconds. @default 10000 */
  windowMs?: number
}
