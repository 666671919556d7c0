/** `RateLimitedClient`: a client whose attempts all pass its token bucket. */
import type { ClientOptions, RateLimitOptions } from '../../index'
import { LIMITER } from './arguments'
import { NOTHING, ONLY_END } from './call-handle'
import { HolySheepStreamingClient } from './client'
import { invalid, native, unknownOption, withCallerStack } from './errors'
import { open } from './hub'
import { addon } from './native'
import { encode, INTERNAL, optionsObject, splitSignal } from './options'
import { bare } from './own'
import { sleep } from './sleep'

/** The wait after a 429 without a `Retry-After` header. */
const DEFAULT_RETRY_AFTER_MS = 60_000

type Headers = { get(name: string): string | null } | Record<string, string | string[] | undefined>

export class RateLimitedClient extends HolySheepStreamingClient {
  readonly #limiter: InstanceType<typeof addon.NativeLimiter>

  constructor(
    apiKey?: string | (ClientOptions & RateLimitOptions),
    options?: number | (ClientOptions & RateLimitOptions),
  ) {
    if (typeof apiKey === 'object' && apiKey !== null && options !== undefined) {
      throw invalid('options', options, 'no argument after an options object')
    }
    const [key, second] = typeof apiKey === 'object' && apiKey !== null ? [undefined, apiKey] : [apiKey, options]
    const merged = typeof second === 'number' ? bare({ maxRetries: second }) : optionsObject('options', second)
    const { capacity, refillRate, requestsPerMinute, tokensPerMinute, adapt, rateLimit, ...others } =
      merged as ClientOptions & RateLimitOptions
    const rest = bare(others)
    if (rateLimit === false) throw invalid('rateLimit', false, 'options of the limiter')
    const limits = optionsObject('rateLimit', rateLimit)
    // The limit of the client's queue is also that of the limiter's queue, unless the limiter has its own.
    const maxQueue = limits.maxQueue ?? rest.maxQueue
    const bucketOptions = { capacity, refillRate, requestsPerMinute, tokensPerMinute, adapt, maxQueue }
    const limiter = native(() => new addon.NativeLimiter(encode(limits), encode(bucketOptions)))
    const alsoAccepted = Object.keys(bucketOptions).filter((name) => name !== 'maxQueue')
    const client = {
      ...rest,
      ...(key !== undefined && { apiKey: key }),
      [LIMITER]: limiter,
      [INTERNAL]: { alsoAccepted },
    }
    super(client as ClientOptions)
    this.#limiter = limiter
  }

  get capacity(): number {
    return this.#limiter.capacity
  }
  set capacity(value: number) {
    this.#set('capacity', value)
  }
  get refillRate(): number {
    return this.#limiter.refillRate
  }
  set refillRate(value: number) {
    this.#set('refillRate', value)
  }
  get tokens(): number {
    return this.#limiter.tokens
  }
  set tokens(value: number) {
    if (!Number.isFinite(value) || value < 0) throw invalid('tokens', value, 'a number from 0')
    this.#limiter.tokens = value
  }
  get lastRefill(): number {
    return this.#limiter.lastRefill
  }
  set lastRefill(value: number) {
    if (!Number.isFinite(value)) throw invalid('lastRefill', value, 'epoch milliseconds')
    this.#limiter.lastRefill = value
  }

  async acquireToken(): Promise<boolean> {
    return this.#limiter.tryAcquire()
  }

  async acquire(options?: { tokens?: number; signal?: AbortSignal; timeoutMs?: number }): Promise<void> {
    const { signal, rest } = splitSignal(options)
    const { tokens = 1, timeoutMs, ...others } = rest as { tokens?: number; timeoutMs?: number }
    for (const name of Object.keys(others)) throw unknownOption(name, 'tokens, signal, timeoutMs')
    if (typeof tokens !== 'number' || !(tokens > 0)) throw invalid('tokens', tokens, 'a number above 0')
    if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 0))
      throw invalid('timeoutMs', timeoutMs, 'milliseconds from 0')
    signal?.throwIfAborted()
    const acquired = new Promise<string>((end, error) => {
      const enter = (hub: InstanceType<typeof addon.NativeHub>) =>
        native(() => this.#limiter.acquire(hub, tokens, timeoutMs))
      open({ ...ONLY_END, end, error }, signal, false, enter).begin(NOTHING)
    })
    await withCallerStack(acquired)
  }

  refill(): void {
    this.#limiter.refill()
  }

  async handleRateLimit(response: object): Promise<boolean> {
    const { status, statusCode, headers } = (response ?? {}) as {
      status?: unknown
      statusCode?: unknown
      headers?: Headers
    }
    if (Number(status ?? statusCode) !== 429) return false
    await sleep(addon.retryAfterMs(retryAfterHeaders(headers)) ?? DEFAULT_RETRY_AFTER_MS)
    return true
  }

  #set(name: string, value: unknown) {
    native(() => this.#limiter.setOption(name, encode(value)))
  }
}

/** The `Retry-After` headers of a fetch response or of a Node message. */
export function retryAfterHeaders(headers: Headers | undefined): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of ['retry-after-ms', 'retry-after']) {
    const value = typeof headers?.get === 'function' ? headers.get(name) : headerOf(headers, name)
    if (typeof value === 'string' || typeof value === 'number') found[name] = String(value)
  }
  return found
}

function headerOf(headers: unknown, name: string): unknown {
  const entry = Object.entries(headers ?? {}).find(([key]) => key.toLowerCase() === name)?.[1]
  return Array.isArray(entry) ? entry[0] : entry
}
