/** The error that the client of a web server receives for a failed stream: its kind, without providers, hosts or keys. */
import type { PipeOptions } from '../../index'
import { CostCapError, HolySheepError } from './errors'
import { addon } from './native'

/** The kinds of errors: HTTP status, OpenAI's `type`, message. */
const KINDS = {
  request: [400, 'invalid_request_error', 'The model cannot answer this request.'],
  rate: [429, 'rate_limit_error', 'Too many requests; try again later.'],
  quota: [429, 'insufficient_quota', 'The quota is exhausted.'],
  busy: [503, 'service_unavailable', 'The service is busy; try again later.'],
  timeout: [504, 'timeout', 'The model took too long to answer.'],
  upstream: [502, 'upstream_error', 'The model could not answer; try again later.'],
  internal: [500, 'server_error', 'Something went wrong.'],
} as const

const KIND_OF: Record<string, keyof typeof KINDS> = {
  INVALID_REQUEST: 'request',
  CONTEXT_LENGTH_EXCEEDED: 'request',
  CONTENT_FILTERED: 'request',
  RATE_LIMITED: 'rate',
  COST_CAP: 'busy',
  QUOTA_EXHAUSTED: 'busy',
  CIRCUIT_OPEN: 'busy',
  QUEUE_FULL: 'busy',
  CLIENT_CLOSED: 'busy',
  LOCAL_RESOURCE: 'busy',
  TIMEOUT: 'timeout',
}

/** Codes for which a wait of unknown length helps: `retry-after` is one second. */
const SOON = ['RATE_LIMITED', 'QUEUE_FULL', 'CLIENT_CLOSED', 'CIRCUIT_OPEN', 'LOCAL_RESOURCE']

export interface ClientError {
  status: number
  /** When the client may retry, in seconds. */
  retryAfterS?: number
  body: { error: { message: string; type: string; code: string | null; param: null } }
}

export function clientErrorOf(error: unknown, errorMessage: PipeOptions['errorMessage']): ClientError {
  // After several attempts, the last error is the informative one.
  const last =
    error instanceof HolySheepError && error.code === 'RETRIES_EXHAUSTED' && error.cause instanceof HolySheepError
      ? error.cause
      : error
  const known = last instanceof HolySheepError ? last : undefined
  const [status, type, message] = KINDS[known === undefined ? 'internal' : kindOf(known)]
  return {
    status,
    retryAfterS: known && retryAfterS(known),
    body: {
      error: { message: customMessage(error, errorMessage) ?? message, type, code: known?.code ?? null, param: null },
    },
  }
}

function kindOf(error: HolySheepError): keyof typeof KINDS {
  // A wrong model or path is the server's mistake, not its client's.
  if (error.code === 'INVALID_REQUEST' && error.status === 404) return 'upstream'
  if (neverFits(error)) return 'request'
  // Any limit of a tenant is its own to keep. Those of the whole client are the server's.
  if (error.scope === 'tenant') return error instanceof CostCapError ? 'quota' : 'rate'
  if (error.code === 'TIMEOUT' && wasNeverSent(error)) return 'busy'
  return KIND_OF[error.code] ?? 'upstream'
}

/** The request alone is larger than a limit: no wait helps. */
function neverFits(error: HolySheepError): boolean {
  if (error.code === 'RATE_LIMIT_NEVER_FITS') return true
  // An answer that was cut off needed more than anyone could know before.
  return error instanceof CostCapError && wasNeverSent(error) && error.neededUsd > error.capUsd
}

/** Nothing was sent to a provider: the call ended in a queue of the client. */
function wasNeverSent(error: HolySheepError): boolean {
  return error.attempts.length === 0
}

function retryAfterS(error: HolySheepError): number | undefined {
  if (error.retryAfterMs !== undefined) return Math.ceil(error.retryAfterMs / 1000)
  if (error instanceof CostCapError) {
    if (error.neededUsd > error.capUsd) return undefined
    const now = addon.epochMs()
    const end = endOfWindow(error.window, now)
    return end && Math.ceil((end - now) / 1000)
  }
  return SOON.includes(error.code) || (error.code === 'TIMEOUT' && wasNeverSent(error)) ? 1 : undefined
}

/** When the next window of a cost cap starts, in milliseconds since the epoch. Windows are those of UTC. */
function endOfWindow(window: CostCapError['window'], now: number): number | undefined {
  const LENGTHS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }
  if (window === 'total') return undefined
  const date = new Date(now)
  if (window === 'month') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1)
  return now - (now % LENGTHS[window]) + LENGTHS[window]
}

/** The caller's message for an error. If the callback fails, the client still gets a response. */
function customMessage(error: unknown, errorMessage: PipeOptions['errorMessage']): string | undefined {
  try {
    const text = errorMessage?.(error)
    return typeof text === 'string' ? text : undefined
  } catch (failure) {
    process.emitWarning(`errorMessage failed: ${failure}`, { type: 'HolySheepWarning' })
    return undefined
  }
}
