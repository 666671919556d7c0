/**
 * Converts the error of a call for an SDK. An error of the provider becomes a response with its status, from which the SDK
 * creates its own error. A network failure rejects like the platform's `fetch`, with the typed error as `cause`. If the
 * engine has decided not to send the request, or no response can have the status (304, 600), `fetch` rejects with the
 * typed error itself. An answer that is too large is a response with status 422.
 */
import { STATUS_CODES } from 'node:http'
import { APIError, CircuitOpenError, HolySheepError, lastError } from '../errors'
import { bare } from '../own'
import { errorBody, type SDK } from './error-body'

/** The status of errors without one, which arrived in a response with status 200. */
const STATUS_OF: Record<string, number> = {
  INVALID_REQUEST: 400,
  CONTEXT_LENGTH_EXCEEDED: 400,
  CONTENT_FILTERED: 400,
  AUTH_FAILED: 401,
  RATE_LIMITED: 429,
  QUOTA_EXHAUSTED: 429,
  REDIRECTED: 502,
  // No SDK retries this status. The answer would be as large, and would cost as much, each time.
  ANSWER_TOO_LARGE: 422,
  RESPONSE_TOO_LARGE: 422,
}

const TOO_LARGE = ['ANSWER_TOO_LARGE', 'RESPONSE_TOO_LARGE']

/** Errors of the engine before anything was sent. An immediate retry would not help. */
const ENGINE_DECISIONS = [
  'CIRCUIT_OPEN',
  'QUEUE_FULL',
  'RATE_LIMIT_NEVER_FITS',
  'COST_CAP',
  'CLIENT_CLOSED',
  'LOCAL_RESOURCE',
  'INTERNAL',
]

/** The response for a failed call; throws the error that `fetch` rejects with if there is no response. */
export function errorResponse(thrown: unknown, sdk: SDK): Response {
  // An abort rejects with the caller's reason.
  if (!(thrown instanceof HolySheepError)) throw thrown
  const error = lastError(thrown) as HolySheepError
  const apiError = error instanceof CircuitOpenError && error.cause instanceof APIError ? error.cause : error
  if (apiError instanceof APIError) return responseOf(apiError, error.retryAfterMs, sdk)
  const tooLarge = [error, error.cause].find((each) =>
    TOO_LARGE.includes((each as HolySheepError | undefined)?.code ?? ''),
  )
  if (tooLarge) return responseOf(tooLarge as HolySheepError, undefined, sdk)
  if (ENGINE_DECISIONS.includes(error.code)) throw error
  // Both SDKs recognize exactly this message as a connection error.
  throw new TypeError('fetch failed', { cause: error })
}

/** The error of a response body whose call has failed. */
export function bodyError(thrown: unknown): unknown {
  // The message of the platform's `fetch`.
  return thrown instanceof HolySheepError ? new TypeError('terminated', { cause: thrown }) : thrown
}

/** The provider's headers as valid response headers. */
export function headersOf(received: Record<string, string> | undefined, requestId: string | undefined): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries({ ...(requestId && { 'x-request-id': requestId }), ...received })) {
    // A quoted API key is masked with a character that is not valid in a header.
    headers.set(name, value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '*'))
  }
  return headers
}

/** Whether a `Response` with this status and a body can be constructed (Fetch standard, "initialize a response"). */
function canHaveBody(status: number): boolean {
  return status >= 200 && status <= 599 && ![204, 205, 304].includes(status)
}

function responseOf(error: HolySheepError, retryAfterMs: number | undefined, sdk: SDK): Response {
  const { code, requestId } = error
  // The error of a response with status 2xx was inside it.
  const received = error.status === undefined || (error.status >= 200 && error.status < 300) ? undefined : error.status
  const status = received ?? STATUS_OF[code] ?? 500
  if (!canHaveBody(status)) throw error
  const headers = headersOf(error.headers, requestId)
  const { body, contentType } = errorBody(error, sdk, status, headers.get('content-type'), received !== undefined)
  headers.set('content-type', contentType)
  if (retryAfterMs !== undefined && !headers.has('retry-after') && !headers.has('retry-after-ms')) {
    headers.set('retry-after-ms', String(retryAfterMs))
    headers.set('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  }
  // The engine has retried already. The SDK's retries would multiply the attempts.
  headers.set('x-should-retry', 'false')
  return new Response(body, bare({ status, statusText: STATUS_CODES[status] ?? '', headers }))
}
