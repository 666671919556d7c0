/** How often, when and after which failures an attempt is repeated. */

/** How much a wait is varied. The clamp to `maxDelayMs` comes after it. */
export type Jitter = 'none' | 'full' | 'equal' | 'proportional' | 'decorrelated'

/** How retries are spaced. */
export interface RetryOptions {
  /** The form of the waits, or the waits themselves in milliseconds (the last one repeats). @default 'exponential' */
  backoff?: 'exponential' | 'linear' | 'constant' | number[]
  /** The first wait, in milliseconds. @default 1000 */
  baseDelayMs?: number
  /** No wait is shorter, in milliseconds; at most `maxDelayMs`. @default 0 */
  minDelayMs?: number
  /** No wait is longer, in milliseconds; it holds after the jitter. @default 60000 */
  maxDelayMs?: number
  /** Growth of an exponential backoff. @default 2 */
  multiplier?: number
  /** How a wait is varied, so that clients that failed together do not return together. @default 'full' */
  jitter?: Jitter
  /**
   * The longest wait that a server may ask for with `retry-after`, in milliseconds. Past it the call
   * goes to the next route or fails at once, with the wait in the error. @default 60000
   */
  maxRetryAfterMs?: number
  /**
   * What is done about a failure, laid over the default table (docs/retries.md): from a status (`429`), a code of ours or
   * of Node (`'TIMEOUT'`, `'ECONNRESET'`) or a class (`'5xx'`, `'rate-limit'`) to a decision. The most exact name wins.
   */
  retryOn?: RetryDecisionTable
  /**
   * The wait after ECONNRESET, in place of the backoff: any within a range, evenly. `true`: 1 to 3 s. Off unless set.
   */
  connectionReset?: ConnectionResetOptions | boolean
}

/** The wait after a reset connection. */
export interface ConnectionResetOptions {
  /** At least this, in milliseconds; at most `maxDelayMs`. @default 1000 */
  minDelayMs?: number
  /** At most this, in milliseconds. @default 3000 */
  maxDelayMs?: number
}

/**
 * What is done about a failure. `retry`: another attempt, with the configured backoff. `never`: the call fails now.
 * `fallback`: not this route again in this call; the next one. `delaysMs`, or the array alone: another attempt, with the
 * n-th of these waits before the n-th retry, the last one repeated, without jitter; never sooner than `retry-after`. With
 * `repeat: false` the call fails instead once so many attempts have been followed by another one.
 * For `quota` only `never` and `fallback`: a key without money is not asked again.
 */
export type RetryDecision = 'retry' | 'never' | 'fallback' | number[] | { delaysMs: number[]; repeat?: boolean }

/** The classes of failures that a decision table knows beside statuses and codes. */
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

/** How many retries there may be, as a share of the calls: an outage is not multiplied by those who meet it. */
export interface RetryBudgetOptions {
  /** Retries for each call, as a share from 0 to 1: 0.2 is 20 %. @default 0.2 */
  ratio?: number
  /** Retries a second that are there without any call. @default 10 */
  minPerSecond?: number
  /** How long calls and retries are remembered, in milliseconds. @default 10000 */
  windowMs?: number
}
