/** Sends all other requests with the platform's `fetch`, and retries them only if that is safe. */
import type { ClientOptions, RetryOptions } from '../../../index'
import type { HolySheepStreamingClient } from '../client'
import { addon } from '../native'
import { retryWithBackoff } from '../systems/retry-with-backoff'
import { defined } from '../systems/shared'
import type { Target } from './request'

/** The POST endpoints without side effects. */
const IDEMPOTENT = ['/embeddings', '/moderations', '/messages/count_tokens', '/responses/input_tokens']

/** The error codes of an exhausted quota, for which waiting does not help. The engine checks a 429 for the same codes. */
const QUOTA_EXHAUSTED = /"(?:insufficient_quota|billing_hard_limit_reached)"/

export interface RetryPolicy {
  fetch: typeof globalThis.fetch
  maxRetries: number
  retry: RetryOptions
  /** The client whose decision table applies. */
  client: HolySheepStreamingClient
}

type Input = string | URL | Request

/** Sends a request once. */
export function fetchOnce(policy: RetryPolicy, input: Input, init: RequestInit | undefined): Promise<Response> {
  return policy.fetch(input, init)
}

/** Sends a request, with retries by the engine's rules if it may be sent twice. */
export async function fetchWithRetries(
  policy: RetryPolicy,
  target: Target | undefined,
  input: Input,
  init: RequestInit | undefined,
): Promise<Response> {
  if (!target || policy.maxRetries === 0 || !mayRepeat(target, input, init)) return fetchOnce(policy, input, init)
  const { baseDelayMs, maxDelayMs, minDelayMs, backoff, multiplier, jitter, maxRetryAfterMs } = policy.retry
  const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined)
  const backoffOptions = {
    baseDelay: baseDelayMs,
    maxDelay: maxDelayMs,
    minDelay: minDelayMs,
    backoff,
    multiplier,
    jitter,
  }
  try {
    return await retryWithBackoff(
      async () => {
        const response = await policy.fetch(input, init)
        if (response.status < 400) return response
        // Reading the body frees the connection for the next attempt.
        throw new StatusError(response, await response.text())
      },
      {
        ...defined({ ...backoffOptions, maxRetryAfterMs, signal: signal ?? undefined }),
        maxAttempts: policy.maxRetries + 1,
        retryable: (error: unknown) =>
          error instanceof StatusError ? error.isRetryable(policy.client) : isNetworkError(error),
      },
    )
  } catch (error) {
    if (error instanceof StatusError) return error.response()
    throw error
  }
}

/** Whether a request can be sent twice, and may reach the provider twice. */
function mayRepeat({ url, method }: Target, input: Input, init: RequestInit | undefined): boolean {
  const request = input instanceof Request ? input : undefined
  const body = init?.body ?? undefined
  if (body === undefined ? request?.body : isStream(body)) return false
  if (method === 'GET' || method === 'HEAD') return true
  const headers = new Headers(init?.headers ?? request?.headers)
  if (headers.has('idempotency-key')) return true
  const json = headers.get('content-type')?.includes('json') === true
  return method === 'POST' && json && IDEMPOTENT.some((path) => url.pathname.endsWith(path))
}

/** Whether a body can be read only once: a stream, or an iterable of an unknown kind. */
function isStream(body: unknown): boolean {
  if (typeof body === 'string' || ArrayBuffer.isView(body) || body instanceof ArrayBuffer) return false
  return !(body instanceof Blob || body instanceof FormData || body instanceof URLSearchParams)
}

/** Whether the platform's `fetch` reports a network failure. */
function isNetworkError(error: unknown): boolean {
  const { name, message, cause } = (error ?? {}) as { name?: string; message?: string; cause?: { code?: unknown } }
  if (name !== 'TypeError' || message !== 'fetch failed') return false
  const code = String(cause?.code ?? '')
  return code.startsWith('UND_ERR_') || addon.isRetryableCode(code)
}

/** A response with an error status, and its body. */
class StatusError extends Error {
  readonly headers: Headers

  constructor(
    private readonly original: Response,
    private readonly body: string,
  ) {
    super(`status ${original.status}`)
    // `retryWithBackoff` reads `Retry-After` from here.
    this.headers = original.headers
  }

  isRetryable(client: HolySheepStreamingClient): boolean {
    const shouldRetry = this.headers.get('x-should-retry')
    if (shouldRetry === 'true' || shouldRetry === 'false') return shouldRetry === 'true'
    const { status } = this.original
    return client.isRetryable({ status, code: QUOTA_EXHAUSTED.test(this.body) ? 'insufficient_quota' : undefined })
  }

  /** The response with its original body, and a header that keeps the SDK from retrying again. */
  response(): Response {
    const { status, statusText } = this.original
    const headers = new Headers(this.original.headers)
    // The body has been decoded, so these no longer apply.
    for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) headers.delete(name)
    headers.set('x-should-retry', 'false')
    // Node's `fetch` passes on a status that the constructor refuses.
    const body = this.body === '' ? null : this.body
    const response = new Response(body, { status: Math.min(status, 599), statusText, headers })
    return Object.defineProperties(response, { url: { value: this.original.url }, status: { value: status } })
  }
}

/** The retry policy of the options. */
export function retryPolicyOf(
  options: ClientOptions,
  fetch: typeof globalThis.fetch,
  client: HolySheepStreamingClient,
): RetryPolicy {
  return { fetch, maxRetries: client.maxRetries, retry: options.retry ?? {}, client }
}
