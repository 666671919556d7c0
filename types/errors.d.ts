/** Errors: real classes with data. */
import type { AttemptRecord } from './events.js'
import type { Snapshot } from './snapshot.js'

/**
 * The base of all errors of this package. `code` is stable:
 * `INVALID_REQUEST`, `CONTEXT_LENGTH_EXCEEDED`, `CONTENT_FILTERED`, `AUTH_FAILED`, `RATE_LIMITED`,
 * `QUOTA_EXHAUSTED`, `SERVER_ERROR`, `REDIRECTED`, `TIMEOUT`, `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND`,
 * `EHOSTUNREACH`, `ERR_TLS`, `ECONNFAILED`, `CIRCUIT_OPEN`, `STREAM_INTERRUPTED`, `STREAM_TRUNCATED`,
 * `MALFORMED_RESPONSE`, `RESPONSE_TOO_LARGE`, `RETRIES_EXHAUSTED`, `QUEUE_FULL`, `RATE_LIMIT_NEVER_FITS`,
 * `COST_CAP`, `CLIENT_CLOSED`, `INTERNAL`.
 */
export class HolySheepError extends Error {
  readonly code: string
  /** The HTTP status, where there was one. */
  readonly status?: number
  /** How long to wait before another try, where that is known, in milliseconds. */
  readonly retryAfterMs?: number
  /** What was tried. */
  readonly attempts: AttemptRecord[]
  /** The text that had been received for the first choice. */
  readonly partial?: string
  /** What `client.resume` goes on from, where something had been received. Not enumerable: logs do not spread it. */
  readonly snapshot?: Snapshot
  /** The provider's id of the last request where it sent one, else ours. */
  readonly requestId?: string
  /** What the provider said of itself: its `error.type`, `error.code`, `error.param`. */
  readonly type?: string
  readonly providerCode?: string
  readonly param?: string
  /** The start of the response's body, at most 2 KiB. */
  readonly body?: string
  /**
   * The response's headers that say something of the request, of limits and of waits (`x-ratelimit-*`, `retry-after`,
   * `x-request-id` …); names in lower case. Not enumerable.
   */
  readonly headers?: Record<string, string>
}

/** The provider refused the request or failed: 4xx, 5xx, an error inside a stream. */
export class APIError extends HolySheepError {}

/** 401 or 403. */
export class AuthenticationError extends APIError {}

/** 429. `code` is `QUOTA_EXHAUSTED` where waiting does not help. */
export class RateLimitError extends APIError {}

/** A stage took too long. */
export class TimeoutError extends HolySheepError {
  readonly phase: 'connect' | 'first-token' | 'idle' | 'attempt' | 'total' | 'queue'
  /** With `phase: 'total'`: what the time of the call went into, in milliseconds. */
  readonly spent?: { queueMs: number; waitMs: number; attemptMs: number }
}

/** No connection, or it broke before an answer came. `code` is Node's (`ECONNRESET` …). */
export class ConnectionError extends HolySheepError {}

/** The breaker of every route that is left is open; `cause` is the failure that opened it during the call, if one did. */
export class CircuitOpenError extends HolySheepError {}

/** The answer broke off; `partial` is what was received. */
export class StreamInterruptedError extends HolySheepError {
  readonly partial: string
  readonly snapshot: Snapshot
}

/** What came is no answer: HTML, JSON where a stream was asked for, broken or boundless events. */
export class MalformedResponseError extends HolySheepError {}

/** Every attempt failed; `cause` is the last error. */
export class RetriesExhaustedError extends HolySheepError {}

/** The call does not fit under a cap, or was cut off there; `partial` is what was received. Figures in USD. */
export class CostCapError extends HolySheepError {
  readonly capUsd: number
  readonly spentUsd: number
  /** By calls under way, this one too where it was cut off. */
  readonly reservedUsd: number
  readonly neededUsd: number
  readonly window: 'minute' | 'hour' | 'day' | 'month' | 'total'
}

/** Too many wait already, or the call can never pass the limiter. */
export class QueueFullError extends HolySheepError {}
