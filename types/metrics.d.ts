/** What a client counts, and the health of its endpoints. */
import type { WaitReason } from './events.js'
import type { CircuitState } from './limits.js'

/** The result of probing an endpoint. */
export interface EndpointHealth {
  endpoint: string
  /** It answered with success, or with 404, 405 or 501, because not every endpoint lists its models. */
  healthy: boolean
  status?: number
  latencyMs: number
  /** The `code` and the message of the error. */
  code?: string
  error?: string
}

/** What a client has counted since it was created. */
export interface Metrics {
  /** Calls that were started: `successes + failures + aborted + inFlight`. */
  calls: number
  inFlight: number
  successes: number
  failures: number
  /** Calls that the caller aborted. */
  aborted: number
  /** Successful calls with at least one failed attempt. */
  successAfterRetry: number
  /** Failed calls by the `code` of their error. */
  failuresByCode: Record<string, number>
  /** Requests that were sent. */
  attempts: number
  /** Further attempts on a route that was already tried in the same call. */
  retries: number
  /** Retries by the `code` of the failure that caused them. */
  retriesByCause: Record<string, number>
  /** Failovers to another endpoint or model within a call. */
  fallbacks: number
  /** Second requests sent alongside a slow first one, and how many of them won. */
  hedges: number
  hedgeWins: number
  /** Broken answers that were recovered. */
  recoveries: number
  circuitOpenings: number
  /** Waits by reason. */
  waits: Partial<Record<WaitReason, number>>
  /** Time that calls spent waiting before attempts, in milliseconds. */
  waitMs: number
  /** Tokens as the providers counted them. */
  tokensIn: number
  tokensOut: number
  costUsd: number
  /** At most 256; the rest are counted as one route whose endpoint and model are `other`. */
  routes: RouteMetrics[]
  /** The breakers of the models that were requested, at most 256. */
  breakers: Array<{ endpoint: string; model: string; state: CircuitState }>
}

/** Counts for one model at one endpoint. */
export interface RouteMetrics {
  endpoint: string
  model: string
  attempts: number
  failures: number
  /** Failed attempts by the `code` of their error; `ABORTED` means that the caller aborted. */
  failuresByCode: Record<string, number>
  tokensIn: number
  tokensOut: number
  costUsd: number
  /** From the start of an attempt to its first token; an attempt that lost to its hedge counts with the time it had waited. */
  firstTokenMs: TimeHistogram
  /** How long attempts took, including failed ones. */
  durationMs: TimeHistogram
}

/** Times in milliseconds. The quantiles are estimated from the buckets; null while there are none. */
export interface TimeHistogram {
  count: number
  sum: number
  p50: number | null
  p95: number | null
  p99: number | null
  /** How many times were at most `le`, in ascending order. Times above the last bound count only in `count`. */
  buckets: Array<{ le: number; count: number }>
}
