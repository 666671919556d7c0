/** `HolySheepRetryManager` of document 002: retries with a breaker, and a queue for what is beyond the limit. */
import type {
  CallOptions,
  ChatCompletion,
  ClientOptions,
  ExecuteOptions,
  ManagedRequest,
  StreamResult,
} from '../../../index'
import { CircuitBreaker } from '../breaker'
import { type HolySheepStreamingClient, lastError } from '../client'
import { CircuitOpenError, invalid, QueueFullError } from '../errors'
import { callback, EVENTS, type Heard, optionsObject, tell } from '../options'
import { type Attempted, clientOf, defined, type Internal, keepAccount, keyOf, retold } from './shared'

const FAILURE_THRESHOLD = 5
const OPEN_MS = 30_000
const DEFAULTS = { maxRetries: 3, baseDelay: 1000, maxDelay: 10_000 }
const MAX_CONCURRENT = 100
const MAX_QUEUE = 1000
/** Forms of waiting for which a client is kept. */
const MAX_CLIENTS = 16

interface Waiting {
  request: ManagedRequest
  enter: () => void
}

export class HolySheepRetryManager {
  circuitBreaker = new CircuitBreaker(FAILURE_THRESHOLD, OPEN_MS)
  /** Calls that wait for one of `maxConcurrent` places, first in, first out. */
  readonly requestQueue: Waiting[] = []
  readonly #apiKey: string | undefined
  readonly #options: ClientOptions
  readonly #maxConcurrent: number
  readonly #maxQueue: number
  #running = 0
  /** One client for each form of waiting, all on one breaker. */
  readonly #clients = new Map<string, HolySheepStreamingClient>()
  #breaker: CircuitBreaker | undefined

  constructor(apiKey?: string, options?: ClientOptions) {
    const {
      maxConcurrent = MAX_CONCURRENT,
      maxQueue = MAX_QUEUE,
      circuitBreaker,
      ...rest
    } = optionsObject('options', options) as ClientOptions
    for (const [name, value, from] of [
      ['maxConcurrent', maxConcurrent, 1],
      ['maxQueue', maxQueue, 0],
    ] as const) {
      if (!Number.isInteger(value) || value < from) throw invalid(name, value, `a whole number from ${from}`)
    }
    if (circuitBreaker === false) throw invalid('circuitBreaker', false, 'a CircuitBreaker or its options')
    if (circuitBreaker instanceof CircuitBreaker) this.circuitBreaker = circuitBreaker
    else if (circuitBreaker) {
      const preset = { failureThreshold: FAILURE_THRESHOLD, timeout: OPEN_MS }
      this.circuitBreaker = new CircuitBreaker({ ...preset, ...circuitBreaker })
    }
    this.#apiKey = apiKey
    this.#options = rest
    this.#maxConcurrent = maxConcurrent
    this.#maxQueue = maxQueue
    // Wrong options are told now.
    this.#client(DEFAULTS.baseDelay, DEFAULTS.maxDelay)
  }

  get apiKey(): string {
    return this.#client(DEFAULTS.baseDelay, DEFAULTS.maxDelay).apiKey
  }

  /** Whether calls run. */
  get isProcessing(): boolean {
    return this.#running > 0
  }

  // Which of the two comes is said by `request.stream`: the declaration has overloads.
  async executeWithRetry(request: ManagedRequest, options?: ExecuteOptions): Promise<any> {
    const { baseDelay, maxDelay, onRetry, onCircuitOpen, ...rest } = optionsObject('options', options) as ExecuteOptions
    const retried = callback('onRetry', onRetry)
    const refused = callback('onCircuitOpen', onCircuitOpen)
    const client = this.#client(baseDelay ?? DEFAULTS.baseDelay, maxDelay ?? DEFAULTS.maxDelay)
    const call = { maxRetries: DEFAULTS.maxRetries, ...defined(rest) }
    try {
      return await this.#place(request, call.signal, () => send(client, request, call, announcing(retried)))
    } catch (thrown) {
      if (!(thrown instanceof CircuitOpenError)) throw lastError(thrown)
      if (refused) tell('onCircuitOpen', () => refused(), undefined)
      throw retold(thrown, 'Circuit breaker is OPEN - service unavailable', thrown)
    }
  }

  async executeRequest(request: ManagedRequest, options?: CallOptions): Promise<any> {
    const client = this.#client(DEFAULTS.baseDelay, DEFAULTS.maxDelay)
    return send(client, request, { ...optionsObject('options', options), $single: true }, undefined)
  }

  shouldRetry(error: unknown): boolean {
    return this.#client(DEFAULTS.baseDelay, DEFAULTS.maxDelay).isRetryable(error)
  }

  sleep(ms: number): Promise<void> {
    return this.#client(DEFAULTS.baseDelay, DEFAULTS.maxDelay).sleep(ms)
  }

  /** Ends what is in flight. */
  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()))
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #client(baseDelayMs: number, maxDelayMs: number): HolySheepStreamingClient {
    // Another breaker, set by hand: the clients on the old one are not used again.
    if (this.#breaker !== this.circuitBreaker) this.#clients.clear()
    this.#breaker = this.circuitBreaker
    const retry = { baseDelayMs, maxDelayMs, jitter: 'none' as const, ...this.#options.retry }
    const key = keyOf(retry)
    const known = this.#clients.get(key)
    if (known) return known
    const made = clientOf(this.#apiKey, {}, { ...this.#options, retry, circuitBreaker: this.circuitBreaker })
    if (this.#clients.size >= MAX_CLIENTS) this.#clients.delete(this.#clients.keys().next().value as string)
    this.#clients.set(key, made)
    return made
  }

  /** Runs when there is a place; an abort leaves the queue. */
  async #place<T>(request: ManagedRequest, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#maxConcurrent) await this.#queue(request, signal)
    else this.#running++
    try {
      return await run()
    } finally {
      const next = this.requestQueue.shift()
      // The place goes from hand to hand.
      if (next) next.enter()
      else this.#running--
    }
  }

  #queue(request: ManagedRequest, signal: AbortSignal | undefined): Promise<void> {
    if (this.requestQueue.length >= this.#maxQueue) {
      const error = new QueueFullError(`${this.#maxQueue} calls wait for a place already`)
      return Promise.reject(Object.assign(error, { code: 'QUEUE_FULL' }))
    }
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const abort = () => {
        this.requestQueue.splice(this.requestQueue.indexOf(waiting), 1)
        reject(signal?.reason)
      }
      const waiting: Waiting = {
        request,
        enter: () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
      }
      this.requestQueue.push(waiting)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }
}

/** One call: streamed into the request's `onChunk` where it says `stream: true`. */
async function send(
  client: HolySheepStreamingClient,
  request: ManagedRequest,
  options: CallOptions & Internal,
  heard: Heard[typeof EVENTS],
): Promise<ChatCompletion | StreamResult> {
  const { onChunk, ...body } = optionsObject('request', request) as ManagedRequest
  const piece = callback('onChunk', onChunk)
  const call = { ...options, ...(heard && { [EVENTS]: heard }) }
  if (body.stream !== true) return client.chat(body, call)
  const stream = client.stream(body, call)
  for await (const text of stream.textStream) await piece?.(text)
  return stream.result
}

/** Tells of a retry before its wait. */
function announcing(onRetry: ExecuteOptions['onRetry']): Heard[typeof EVENTS] {
  if (!onRetry) return undefined
  const attempts: Attempted[] = []
  let retries = 0
  let told = true
  const announce = (ms: number) => {
    const error = attempts.at(-1)?.error
    if (told || !error) return
    told = true
    const attempt = ++retries
    tell('onRetry', () => onRetry(attempt, error, ms), undefined)
  }
  return keepAccount(attempts, (event) => {
    if (event.type === 'attempt-failed') told = false
    if (event.type === 'wait' && (event.reason === 'backoff' || event.reason === 'retry-after')) announce(event.ms)
  })
}
