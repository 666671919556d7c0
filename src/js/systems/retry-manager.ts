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
import { type HolySheepStreamingClient, setBreaker } from '../client'
import { CircuitOpenError, invalid, lastError, QueueFullError } from '../errors'
import {
  callback,
  EVENTS,
  INTERNAL,
  notify,
  optionsObject,
  splitSignal,
  type WithEventListener,
  type WithInternalOptions,
  wholeMs,
  wholeNumber,
} from '../options'
import { type AttemptSummary, clientOf, defined, recordAttempts, rephrase, Wrapper } from './shared'

const BREAKER_DEFAULTS = { failureThreshold: 5, timeout: 30_000 }
const LIMITS = { maxConcurrent: 100, maxQueue: 1000 }
const PRESET: ClientOptions = { maxRetries: 3, retry: { baseDelayMs: 1000, maxDelayMs: 10_000, jitter: 'none' } }

/** What `executeWithRetry` takes beside the options of a call. */
const OWN = ['baseDelay', 'maxDelay', 'onRetry', 'onCircuitOpen']

interface Waiting {
  request: ManagedRequest
  enter: () => void
}

export class HolySheepRetryManager extends Wrapper {
  /** Calls that wait for one of `maxConcurrent` places, first in, first out. */
  readonly requestQueue: Waiting[] = []
  readonly #maxConcurrent: number
  readonly #maxQueue: number
  #circuitBreaker: CircuitBreaker
  #running = 0

  constructor(apiKey?: string, options?: ClientOptions) {
    const { circuitBreaker, ...given } = optionsObject('options', options) as ClientOptions
    const { maxConcurrent, maxQueue, ...rest } = { ...LIMITS, ...defined(given) }
    wholeNumber('maxConcurrent', maxConcurrent, 1)
    wholeNumber('maxQueue', maxQueue, 0)
    if (circuitBreaker === false) throw invalid('circuitBreaker', false, 'a CircuitBreaker or its options')
    const breaker =
      circuitBreaker instanceof CircuitBreaker
        ? circuitBreaker
        : new CircuitBreaker({ ...BREAKER_DEFAULTS, ...optionsObject('circuitBreaker', circuitBreaker) })
    super(clientOf(apiKey, PRESET, { ...rest, circuitBreaker: breaker }))
    this.#circuitBreaker = breaker
    this.#maxConcurrent = maxConcurrent
    this.#maxQueue = maxQueue
  }

  get circuitBreaker(): CircuitBreaker {
    return this.#circuitBreaker
  }
  set circuitBreaker(breaker: CircuitBreaker) {
    if (!(breaker instanceof CircuitBreaker)) throw invalid('circuitBreaker', breaker, 'a CircuitBreaker')
    setBreaker(this.client, breaker)
    this.#circuitBreaker = breaker
  }

  /** Whether calls run. */
  get isProcessing(): boolean {
    return this.#running > 0
  }

  // Which of the two comes is said by `request.stream`: the declaration has overloads.
  async executeWithRetry(request: ManagedRequest, options?: ExecuteOptions): Promise<any> {
    const { signal, rest } = splitSignal(options)
    const { baseDelay, maxDelay, onRetry, onCircuitOpen, ...others } = rest as ExecuteOptions
    const retried = callback('onRetry', onRetry)
    const refused = callback('onCircuitOpen', onCircuitOpen)
    const retry = waits(others.retry, { baseDelay, maxDelay })
    const call = { ...others, ...(signal && { signal }), retry, [INTERNAL]: { alsoAccepted: OWN } }
    try {
      return await this.#place(request, signal, () => send(this.client, request, call, announcing(retried)))
    } catch (thrown) {
      if (!(thrown instanceof CircuitOpenError)) throw lastError(thrown)
      if (refused) notify('onCircuitOpen', () => refused(), undefined)
      throw rephrase(thrown, 'Circuit breaker is OPEN - service unavailable', thrown)
    }
  }

  async executeRequest(request: ManagedRequest, options?: CallOptions): Promise<any> {
    const { signal, rest } = splitSignal(options)
    const call = { ...rest, ...(signal && { signal }), [INTERNAL]: { singleAttempt: true } }
    return this.#place(request, signal, () => send(this.client, request, call, undefined))
  }

  shouldRetry(error: unknown): boolean {
    return this.client.isRetryable(error)
  }

  sleep(ms: number): Promise<void> {
    return this.client.sleep(ms)
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

/** The waits of one call, by the document's names, on top of what it says of retries otherwise. */
function waits(retry: CallOptions['retry'], given: { baseDelay?: number; maxDelay?: number }): CallOptions['retry'] {
  const named = defined(given)
  for (const [name, value] of Object.entries(named)) wholeMs(name, value)
  const { baseDelay: baseDelayMs, maxDelay: maxDelayMs } = named
  return { ...optionsObject('retry', retry), ...defined({ baseDelayMs, maxDelayMs }) }
}

/** One call: streamed into the request's `onChunk` where it says `stream: true`. */
async function send(
  client: HolySheepStreamingClient,
  request: ManagedRequest,
  options: CallOptions & WithInternalOptions,
  heard: WithEventListener[typeof EVENTS],
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
function announcing(onRetry: ExecuteOptions['onRetry']): WithEventListener[typeof EVENTS] {
  if (!onRetry) return undefined
  const attempts: AttemptSummary[] = []
  let retries = 0
  let told = true
  const announce = (ms: number) => {
    const error = attempts.at(-1)?.error
    if (told || !error) return
    told = true
    const attempt = ++retries
    notify('onRetry', () => onRetry(attempt, error, ms), undefined)
  }
  return recordAttempts(attempts, (event) => {
    if (event.type === 'attempt-failed') told = false
    if (event.type === 'wait' && (event.reason === 'backoff' || event.reason === 'retry-after')) announce(event.ms)
  })
}
