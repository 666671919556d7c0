/** Error classes and their data. */
import type { AttemptRecord, TimeoutPhase } from './events.js'
import type { Snapshot } from './snapshot.js'

/**
 * The base of all errors of this package. `code` is stable:
 * `INVALID_REQUEST`, `CONTEXT_LENGTH_EXCEEDED`, `CONTENT_FILTERED`, `AUTH_FAILED`, `RATE_LIMITED`,
 * `QUOTA_EXHAUSTED`, `SERVER_ERROR`, `REDIRECTED`, `TIMEOUT`, `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND`,
 * `EHOSTUNREACH`, `ERR_TLS`, `ECONNFAILED`, `CIRCUIT_OPEN`, `STREAM_INTERRUPTED`, `STREAM_TRUNCATED`,
 * `MALFORMED_RESPONSE`, `EMPTY_ANSWER`, `RESPONSE_TOO_LARGE`, `ANSWER_TOO_LARGE`, `RETRIES_EXHAUSTED`, `QUEUE_FULL`, `RATE_LIMIT_NEVER_FITS`,
 * `COST_CAP`, `CLIENT_CLOSED`, `LOCAL_RESOURCE` (this process has no file descriptor, thread or port left), `INTERNAL`.
 */
export class HolySheepError extends Error {
  readonly code: string
  /** The HTTP status, if there was one. */
  readonly status?: number
  /** How long to wait before retrying, if known, in milliseconds. */
  readonly retryAfterMs?: number
  /** Whose limit rejected the call, if one of your own did: that of the tenant, or that of the whole client. */
  readonly scope?: 'tenant' | 'client'
  /** The attempts that were made. */
  readonly attempts: AttemptRecord[]
  /** The text received for the first choice. */
  readonly partial?: string
  /** What `client.resume` continues from, if anything was received and no more than `recovery.maxBytes`. Not enumerable, so that logs do not contain it. */
  readonly snapshot?: Snapshot
  /** The provider's id of the last request if it sent one, otherwise ours. */
  readonly requestId?: string
  /** The provider's own message, if its error is JSON. `message` is the client's sentence about it. */
  readonly providerMessage?: string
  /** The provider's own `error.type`, `error.code` and `error.param`. */
  readonly type?: string
  readonly providerCode?: string
  readonly param?: string
  /** The start of the response's body, at most 2 KiB. */
  readonly body?: string
  /**
   * The response headers (`x-ratelimit-*`, `retry-after`, `x-request-id` …) without cookies and hop-by-hop headers;
   * names in lower case. Not enumerable.
   */
  readonly headers?: Record<string, string>
}

/** The provider rejected the request or failed: 4xx, 5xx, an error inside a stream. */
export class APIError extends HolySheepError {}

/** 401 or 403. */
export class AuthenticationError extends APIError {}

/** 429. `code` is `QUOTA_EXHAUSTED` if waiting does not help. */
export class RateLimitError extends APIError {}

/** A stage exceeded its timeout. */
export class TimeoutError extends HolySheepError {
  /** `throughput`: the answer crawls (`minTokensPerSecond`). */
  readonly phase: TimeoutPhase
  /** With `phase: 'total'`: where the time of the call went, in milliseconds. */
  readonly timeBreakdown?: { queueMs: number; waitMs: number; attemptMs: number }
}

/** No connection, or one that broke before an answer arrived. `code` is Node's (`ECONNRESET` …). */
export class ConnectionError extends HolySheepError {}

/** The breakers of all remaining routes are open; `cause` is the failure that opened one during the call, if any. */
export class CircuitOpenError extends HolySheepError {}

/** The answer was interrupted; `partial` is what was received. */
export class StreamInterruptedError extends HolySheepError {
  readonly partial: string
}

/**
 * The response is not a valid answer: HTML, JSON in place of a stream, malformed or oversized events. `ANSWER_TOO_LARGE`:
 * what the call keeps of its answer takes more than `maxAnswerBytes`; `partial` has the text so far.
 */
export class MalformedResponseError extends HolySheepError {}

/** Every attempt failed; `cause` is the last error. */
export class RetriesExhaustedError extends HolySheepError {}

/** The call does not fit under a cost cap, or was cut off at it; `partial` is what was received. Amounts in USD. */
export class CostCapError extends HolySheepError {
  readonly capUsd: number
  readonly spentUsd: number
  /** Reserved by calls in flight, including this one if it was cut off. */
  readonly reservedUsd: number
  readonly neededUsd: number
  readonly window: 'minute' | 'hour' | 'day' | 'month' | 'total'
}

/** The queue is full, or the call can never pass the limiter. */
export class QueueFullError extends HolySheepError {}
