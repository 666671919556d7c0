/** Sends all other requests with the platform's `fetch`, and retries them only if that is safe. */
import { ReadableStream } from 'node:stream/web'
import type { URL } from 'node:url'
import type { ClientOptions, RetryOptions } from '../../../index'
import type { HolySheepStreamingClient } from '../client'
import { addon } from '../native'
import { bare } from '../own'
import { realWait } from '../sleep'
import { retry } from '../systems/retry-with-backoff'
import { defined } from '../systems/shared'
import { asReceived } from './received'
import { withoutSecrets } from './redaction'
import { send } from './redirects'
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

/** Sends a request once. Only a GET follows redirects, on its own origin. */
export async function fetchOnce(
  policy: RetryPolicy,
  target: Target | undefined,
  input: Input,
  init: RequestInit | undefined,
): Promise<Response> {
  return withoutSecrets(await send(policy.fetch, target, input, init), input, init)
}

/** Sends a request, with retries by the engine's rules if it may be sent twice. */
export async function fetchWithRetries(
  policy: RetryPolicy,
  target: Target | undefined,
  input: Input,
  init: RequestInit | undefined,
): Promise<Response> {
  if (!target || policy.maxRetries === 0 || !mayRepeat(target, input, init)) {
    return fetchOnce(policy, target, input, init)
  }
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
    return await retry(
      async () => {
        const response = await send(policy.fetch, target, input, init)
        if (response.status < 400) return response
        throw await StatusError.of(response)
      },
      {
        ...defined({ ...backoffOptions, maxRetryAfterMs, signal: signal ?? undefined }),
        maxAttempts: policy.maxRetries + 1,
        onRetry: (_attempt: number, error: unknown) => {
          if (error instanceof StatusError) error.discard()
        },
        retryable: (error: unknown) =>
          error instanceof StatusError ? error.isRetryable(policy.client) : isNetworkError(error),
      },
      realWait,
    )
  } catch (error) {
    if (error instanceof StatusError) return withoutSecrets(error.response(), input, init)
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

/** How much of the body of a 429 is searched for the code of an exhausted quota, in bytes. */
const SEARCHED = 2048

/** A response with an error status. Its body, which may never end, is not read unless it decides about a retry. */
class StatusError extends Error {
  readonly headers: Headers

  private constructor(
    private readonly original: Response,
    private readonly body: ReadableStream<Uint8Array> | null,
    private readonly isQuotaExhausted: boolean,
  ) {
    super(`status ${original.status}`)
    // `retryWithBackoff` reads `Retry-After` from here.
    this.headers = original.headers
  }

  static async of(response: Response): Promise<StatusError> {
    if (response.status !== 429 || !response.body) return new StatusError(response, response.body, false)
    const { start, body } = await peek(response.body, SEARCHED)
    return new StatusError(response, body, QUOTA_EXHAUSTED.test(start))
  }

  isRetryable(client: HolySheepStreamingClient): boolean {
    const shouldRetry = this.headers.get('x-should-retry')
    if (shouldRetry === 'true' || shouldRetry === 'false') return shouldRetry === 'true'
    const { status } = this.original
    return client.isRetryable({ status, code: this.isQuotaExhausted ? 'insufficient_quota' : undefined })
  }

  /** Drops the body, which frees its connection. */
  discard() {
    this.body?.cancel().catch(() => {})
  }

  /** The response with its original body, and a header that keeps the SDK from retrying again. */
  response(): Response {
    const { status, statusText } = this.original
    const headers = new Headers(this.original.headers)
    // The body has been decoded, so these no longer apply.
    for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) headers.delete(name)
    headers.set('x-should-retry', 'false')
    // Node's `fetch` passes on a status that the constructor rejects.
    const response = new Response(this.body, bare({ status: Math.min(status, 599), statusText, headers }))
    return asReceived(response, { url: this.original.url, status, redirected: this.original.redirected })
  }
}

/** Reads the first `size` bytes of a body or more, and returns their text with a body that still has them. */
async function peek(body: ReadableStream<Uint8Array>, size: number) {
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  for (let read = 0; read < size; ) {
    const { done, value } = await reader.read()
    if (done) break
    chunks.push(value)
    read += value.length
  }
  const whole = new ReadableStream<Uint8Array>(
    bare({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk)
      },
      async pull(controller) {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    }),
  )
  return { start: Buffer.concat(chunks).toString(), body: whole }
}

/** The retry policy of the options. */
export function retryPolicyOf(
  options: ClientOptions,
  fetch: typeof globalThis.fetch,
  client: HolySheepStreamingClient,
): RetryPolicy {
  return { fetch, maxRetries: client.maxRetries, retry: options.retry ?? bare({}), client }
}
