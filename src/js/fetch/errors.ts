/**
 * What a failed call is for an SDK. An error of the provider is a response with its status, so that the SDK makes its
 * own class of it. Without a response `fetch` rejects: as the platform's does where the network failed, and with the
 * error itself where nothing was sent by our own decision. `cause` leads to the typed error.
 */
import { STATUS_CODES } from 'node:http'
import { APIError, CircuitOpenError, HolySheepError, lastError } from '../errors'

/** The status of an error that came without one: inside a stream that had begun with 200. */
const STATUS: Record<string, number> = {
  INVALID_REQUEST: 400,
  CONTEXT_LENGTH_EXCEEDED: 400,
  CONTENT_FILTERED: 400,
  AUTH_FAILED: 401,
  RATE_LIMITED: 429,
  QUOTA_EXHAUSTED: 429,
  REDIRECTED: 502,
}

/** Decided here, before anything was sent: asking again at once would change nothing. */
const OUR_DECISIONS = ['CIRCUIT_OPEN', 'QUEUE_FULL', 'RATE_LIMIT_NEVER_FITS', 'COST_CAP', 'CLIENT_CLOSED', 'INTERNAL']

/** The response that tells of a failed call; throws what `fetch` rejects with where there is none. */
export function refusal(thrown: unknown): Response {
  // The caller's own: an abort rejects with its reason.
  if (!(thrown instanceof HolySheepError)) throw thrown
  const error = lastError(thrown) as HolySheepError
  const said = error instanceof CircuitOpenError && error.cause instanceof APIError ? error.cause : error
  if (said instanceof APIError) return responseOf(said, error.retryAfterMs)
  if (OUR_DECISIONS.includes(error.code)) throw error
  // Both SDKs know this error, word for word, for what it is.
  throw new TypeError('fetch failed', { cause: error })
}

/** What the body of a response that has begun fails with. */
export function broken(thrown: unknown): unknown {
  // As the platform's `fetch` calls it.
  return thrown instanceof HolySheepError ? new TypeError('terminated', { cause: thrown }) : thrown
}

/** The headers that the engine tells of, in a form that a response can have. */
export function headersOf(told: Record<string, string> | undefined, requestId: string | undefined): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries({ ...(requestId && { 'x-request-id': requestId }), ...told })) {
    // A key that the provider quotes is masked with a character that no header can hold.
    headers.set(name, value.replace(/[^\t\x20-\x7e]/g, '*'))
  }
  return headers
}

function responseOf(error: HolySheepError, retryAfterMs: number | undefined): Response {
  const { status = 0, code, requestId } = error
  const headers = headersOf(error.headers, requestId)
  const json = isJson(error.body)
  const said = headers.get('content-type')
  const raw = error.body !== undefined && (json || !said?.includes('json'))
  if (raw) headers.set('content-type', json ? 'application/json' : (said ?? 'text/plain; charset=utf-8'))
  else headers.set('content-type', 'application/json')
  if (retryAfterMs !== undefined && !headers.has('retry-after') && !headers.has('retry-after-ms')) {
    headers.set('retry-after-ms', String(retryAfterMs))
    headers.set('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  }
  // What can be tried was tried: the SDK's own retries would multiply it.
  headers.set('x-should-retry', 'false')
  const fits = status >= 300 ? status : (STATUS[code] ?? 500)
  return new Response(raw ? error.body : inOpenAIsShape(error), {
    status: fits,
    statusText: STATUS_CODES[fits] ?? '',
    headers,
  })
}

/** Of a body that is missing, or was too long to be kept whole. */
function inOpenAIsShape({ message, type, param, providerCode, code }: HolySheepError): string {
  return JSON.stringify({ error: { message, type: type ?? null, param: param ?? null, code: providerCode ?? code } })
}

function isJson(text: string | undefined): boolean {
  try {
    JSON.parse(text ?? '')
    return true
  } catch {
    return false
  }
}
