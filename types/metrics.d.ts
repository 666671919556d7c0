/** What a client counts, and what it finds out about its endpoints. */
import type { WaitReason } from './events.js'
import type { CircuitState } from './limits.js'

/** What a probe of an endpoint has found. */
export interface EndpointHealth {
  endpoint: string
  /** It answered with success, or does not know the path (404, 405, 501), which not every endpoint has. */
  healthy: boolean
  status?: number
  latencyMs: number
  /** The `code` and the message of the error. */
  code?: string
  error?: string
}

/** What a client has counted since it was made. */
export interface Metrics {
  /** Calls that have begun: `successes + failures + aborted + inFlight`. */
  calls: number
  inFlight: number
  successes: number
  failures: number
  /** Calls that their caller ended. */
  aborted: number
  /** Answers before which an attempt failed. */
  successAfterRetry: number
  /** Failed calls by the `code` of their error. */
  failuresByCode: Record<string, number>
  /** Requests that were sent. */
  attempts: number
  /** Tries on a route that had its first try in the same call. */
  retries: number
  /** Retries by the code of the failure before them. */
  retriesByCause: Record<string, number>
  /** First tries of another endpoint or model within a call. */
  fallbacks: number
  /** Second requests beside a slow first one, and those of them whose first token came first. */
  hedges: number
  hedgeWins: number
  /** Broken answers that were taken up again. */
  recoveries: number
  circuitOpenings: number
  /** Waits by reason. */
  waits: Partial<Record<WaitReason, number>>
  /** Time that calls waited before their attempts, in milliseconds. */
  waitedMs: number
  /** Tokens as the providers counted them. */
  tokensIn: number
  tokensOut: number
  costUsd: number
  /** At most 256; what comes later is counted in one route whose endpoint and model are `other`. */
  routes: RouteMetrics[]
  /** The breakers of the models that were asked for, at most 256. */
  breakers: Array<{ endpoint: string; model: string; state: CircuitState }>
}

/** What was counted for one model at one endpoint. */
export interface RouteMetrics {
  endpoint: string
  model: string
  attempts: number
  failures: number
  /** Failed attempts by the `code` of their error; `ABORTED` is the caller's doing. */
  failuresByCode: Record<string, number>
  tokensIn: number
  tokensOut: number
  costUsd: number
  /** From the beginning of an attempt to its first token; one that lost to its hedge counts with the time it had waited. */
  firstTokenMs: TimeHistogram
  /** How long attempts took, failed ones too. */
  durationMs: TimeHistogram
}

/** Times in milliseconds. The quantiles are estimated from the buckets; null without a time. */
export interface TimeHistogram {
  count: number
  sum: number
  p50: number | null
  p95: number | null
  p99: number | null
  /** How many times were at most `le`, in ascending order. What is above the last bound is only in `count`. */
  buckets: Array<{ le: number; count: number }>
}
