/** Every other request: by the platform's own `fetch`, and again only where that is safe. */
import type { ClientOptions, RetryOptions } from '../../../index'
import type { HolySheepStreamingClient } from '../client'
import { addon } from '../native'
import { retryWithBackoff } from '../systems/retry-with-backoff'
import { defined } from '../systems/shared'
import type { Target } from './request'

/** POSTs that change nothing at the provider. */
const IDEMPOTENT = ['/embeddings', '/moderations', '/messages/count_tokens', '/responses/input_tokens']

/** No money is left: waiting does not help. As the engine reads it in a 429. */
const NO_MONEY = /"(?:insufficient_quota|billing_hard_limit_reached)"/

export interface Policy {
  fetch: typeof globalThis.fetch
  maxRetries: number
  retry: RetryOptions
  /** Whose decision table it is. */
  judge: HolySheepStreamingClient
}

type Input = string | URL | Request

/** The platform's `fetch`, once. */
export function once(policy: Policy, input: Input, init: RequestInit | undefined): Promise<Response> {
  return policy.fetch(input, init)
}

/** The platform's `fetch`, retried by the engine's rules where the request may be sent twice. */
export async function pass(
  policy: Policy,
  target: Target | undefined,
  input: Input,
  init: RequestInit | undefined,
): Promise<Response> {
  if (!target || policy.maxRetries === 0 || !mayRepeat(target, input, init)) return once(policy, input, init)
  const { baseDelayMs, maxDelayMs, minDelayMs, backoff, multiplier, jitter, maxRetryAfterMs } = policy.retry
  const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined)
  const form = { baseDelay: baseDelayMs, maxDelay: maxDelayMs, minDelay: minDelayMs, backoff, multiplier, jitter }
  try {
    return await retryWithBackoff(
      async () => {
        const response = await policy.fetch(input, init)
        if (response.status < 400) return response
        // Read to its end: its connection is free for the next attempt.
        throw new Refused(response, await response.text())
      },
      {
        ...defined({ ...form, maxRetryAfterMs, signal: signal ?? undefined }),
        maxAttempts: policy.maxRetries + 1,
        retryable: (error: unknown) => (error instanceof Refused ? error.mends(policy.judge) : isNetworks(error)),
      },
    )
  } catch (error) {
    if (error instanceof Refused) return error.response()
    throw error
  }
}

/** Whether the same request may reach the provider twice, and can be sent twice. */
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

/** What is gone when it was sent: streams, and any iterable of a kind we do not know. */
function isStream(body: unknown): boolean {
  if (typeof body === 'string' || ArrayBuffer.isView(body) || body instanceof ArrayBuffer) return false
  return !(body instanceof Blob || body instanceof FormData || body instanceof URLSearchParams)
}

/** The network failed, by the platform's word. */
function isNetworks(error: unknown): boolean {
  const { name, message, cause } = (error ?? {}) as { name?: string; message?: string; cause?: { code?: unknown } }
  if (name !== 'TypeError' || message !== 'fetch failed') return false
  const code = String(cause?.code ?? '')
  return code.startsWith('UND_ERR_') || addon.isRetryableCode(code)
}

/** A response that is no success, and its body. */
class Refused extends Error {
  readonly headers: Headers

  constructor(
    private readonly from: Response,
    private readonly body: string,
  ) {
    super(`status ${from.status}`)
    // Where a wait that the server asks for is looked for.
    this.headers = from.headers
  }

  mends(judge: HolySheepStreamingClient): boolean {
    const said = this.headers.get('x-should-retry')
    if (said === 'true' || said === 'false') return said === 'true'
    const { status } = this.from
    return judge.isRetryable({ status, code: NO_MONEY.test(this.body) ? 'insufficient_quota' : undefined })
  }

  /** The response, with its body as it came and a word to the SDK that it was tried already. */
  response(): Response {
    const { status, statusText } = this.from
    const headers = new Headers(this.from.headers)
    // The body is decoded.
    for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) headers.delete(name)
    headers.set('x-should-retry', 'false')
    const response = new Response(this.body === '' ? null : this.body, { status, statusText, headers })
    return Object.defineProperty(response, 'url', { value: this.from.url })
  }
}

/** What the options say of retries. */
export function policyOf(
  options: ClientOptions,
  fetch: typeof globalThis.fetch,
  judge: HolySheepStreamingClient,
): Policy {
  return { fetch, maxRetries: judge.maxRetries, retry: options.retry ?? {}, judge }
}
