/** `RateLimitedClient`: a client every attempt of which passes its bucket. */
import type { ClientOptions, RateLimitOptions } from '../../index'
import { LIMITER } from './arguments'
import { NOTHING } from './call-handle'
import { HolySheepStreamingClient } from './client'
import { following, invalid, native, unknown } from './errors'
import { open } from './hub'
import { addon } from './native'
import { encode, INTERNAL, optionsObject, sleep, splitSignal } from './options'

/** How long a 429 that says nothing is waited for. */
const SILENT_429_MS = 60_000

type Headers = { get(name: string): string | null } | Record<string, string | string[] | undefined>

export class RateLimitedClient extends HolySheepStreamingClient {
  readonly #limiter: InstanceType<typeof addon.NativeLimiter>

  constructor(
    apiKey?: string | (ClientOptions & RateLimitOptions),
    options?: number | (ClientOptions & RateLimitOptions),
  ) {
    if (typeof apiKey === 'object' && apiKey !== null && options !== undefined) {
      throw invalid('options', options, 'nothing after an object of options')
    }
    const both = typeof apiKey === 'object' && apiKey !== null ? [undefined, apiKey] : [apiKey, options]
    const given = typeof both[1] === 'number' ? { maxRetries: both[1] } : optionsObject('options', both[1])
    const { capacity, refillRate, requestsPerMinute, tokensPerMinute, adapt, rateLimit, ...rest } =
      given as ClientOptions & RateLimitOptions
    if (rateLimit === false) throw invalid('rateLimit', false, 'options of a limiter')
    const limits = optionsObject('rateLimit', rateLimit)
    // One bound for both queues of the client, unless the limiter has its own.
    const maxQueue = limits.maxQueue ?? rest.maxQueue
    const beside = { capacity, refillRate, requestsPerMinute, tokensPerMinute, adapt, maxQueue }
    const limiter = native(() => new addon.NativeLimiter(encode(limits), encode(beside)))
    const key = both[0] as string | undefined
    const also = Object.keys(beside).filter((name) => name !== 'maxQueue')
    const client = {
      ...rest,
      ...(key !== undefined && { apiKey: key }),
      [LIMITER]: limiter,
      [INTERNAL]: { alsoAccepted: also },
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
    for (const name of Object.keys(others)) throw unknown(name, 'tokens, signal, timeoutMs')
    if (typeof tokens !== 'number' || !(tokens > 0)) throw invalid('tokens', tokens, 'a number above 0')
    if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 0))
      throw invalid('timeoutMs', timeoutMs, 'milliseconds from 0')
    signal?.throwIfAborted()
    const asked = new Promise<string>((end, error) => {
      const enter = (hub: InstanceType<typeof addon.NativeHub>) =>
        native(() => this.#limiter.acquire(hub, tokens, timeoutMs))
      open({ end, error }, { signal }, enter).begin(NOTHING)
    })
    await following(asked)
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
    await sleep(addon.retryAfterMs(waitHeaders(headers)) ?? SILENT_429_MS)
    return true
  }

  #set(name: string, value: unknown) {
    native(() => this.#limiter.setOption(name, encode(value)))
  }
}

/** The headers that say how long to wait, of a fetch response or of a Node message. */
export function waitHeaders(headers: Headers | undefined): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of ['retry-after-ms', 'retry-after']) {
    const value = typeof headers?.get === 'function' ? headers.get(name) : plain(headers, name)
    if (typeof value === 'string' || typeof value === 'number') found[name] = String(value)
  }
  return found
}

function plain(headers: unknown, name: string): unknown {
  const entry = Object.entries(headers ?? {}).find(([key]) => key.toLowerCase() === name)?.[1]
  return Array.isArray(entry) ? entry[0] : entry
}
