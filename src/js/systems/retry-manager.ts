/** `HolySheepRetryManager` of tutorial 002: retries with a breaker and a concurrency limit with a queue. */
import type {
  CallOptions,
  ChatCompletion,
  ClientOptions,
  ExecuteOptions,
  ManagedRequest,
  StreamResult,
} from '../../../index'
import { breakerOf, CircuitBreaker } from '../breaker'
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
import { bare } from '../own'
import { type AttemptSummary, clientOf, defined, recordAttempts, rephrase, Wrapper } from './shared'

const BREAKER_DEFAULTS = { failureThreshold: 5, timeout: 30_000 }
const LIMITS = { maxConcurrent: 100, maxQueue: 1000 }
const CLIENT_DEFAULTS: ClientOptions = {
  maxRetries: 3,
  retry: { baseDelayMs: 1000, maxDelayMs: 10_000, jitter: 'none' },
}

/** The options of `executeWithRetry` in addition to those of a call. */
const EXTRA_OPTIONS = ['baseDelay', 'maxDelay', 'onRetry', 'onCircuitOpen']

interface QueuedCall {
  request: ManagedRequest
  enter: () => void
}

export class HolySheepRetryManager extends Wrapper {
  /** The calls that wait for one of `maxConcurrent` slots, first in, first out. */
  readonly requestQueue: QueuedCall[] = []
  readonly #maxConcurrent: number
  readonly #maxQueue: number
  #circuitBreaker: CircuitBreaker
  #running = 0

  constructor(apiKey?: string, options?: ClientOptions) {
    const { circuitBreaker, ...clientOptions } = optionsObject('options', options) as ClientOptions
    const { maxConcurrent, maxQueue, ...rest } = bare({ ...LIMITS, ...defined(clientOptions) })
    wholeNumber('maxConcurrent', maxConcurrent, 1)
    wholeNumber('maxQueue', maxQueue, 0)
    if (circuitBreaker === false) throw invalid('circuitBreaker', false, 'a CircuitBreaker or its options')
    const breaker =
      breakerOf('circuitBreaker', circuitBreaker) ??
      new CircuitBreaker({ ...BREAKER_DEFAULTS, ...optionsObject('circuitBreaker', circuitBreaker) })
    super(clientOf(apiKey, CLIENT_DEFAULTS, { ...rest, circuitBreaker: breaker }))
    this.#circuitBreaker = breaker
    this.#maxConcurrent = maxConcurrent
    this.#maxQueue = maxQueue
  }

  get circuitBreaker(): CircuitBreaker {
    return this.#circuitBreaker
  }
  set circuitBreaker(breaker: CircuitBreaker) {
    const checked = breakerOf('circuitBreaker', breaker)
    if (!checked) throw invalid('circuitBreaker', breaker, 'a CircuitBreaker')
    setBreaker(this.client, checked)
    this.#circuitBreaker = checked
  }

  /** Whether any call is running. */
  get isProcessing(): boolean {
    return this.#running > 0
  }

  // The declaration has overloads: `request.stream` decides the type of the result.
  async executeWithRetry(request: ManagedRequest, options?: ExecuteOptions): Promise<any> {
    const { signal, rest } = splitSignal(options)
    const { baseDelay, maxDelay, onRetry, onCircuitOpen, ...others } = rest as ExecuteOptions
    const retryCallback = callback('onRetry', onRetry)
    const circuitOpenCallback = callback('onCircuitOpen', onCircuitOpen)
    const retry = retryOptions(bare(others).retry, { baseDelay, maxDelay })
    const internal = { alsoAccepted: EXTRA_OPTIONS, mirrored: true }
    const call = { ...others, ...(signal && { signal }), retry, [INTERNAL]: internal }
    try {
      return await this.#runInSlot(request, signal, () =>
        send(this.client, request, call, retryNotifier(retryCallback)),
      )
    } catch (thrown) {
      if (!(thrown instanceof CircuitOpenError)) throw lastError(thrown)
      if (circuitOpenCallback) notify('onCircuitOpen', () => circuitOpenCallback(), undefined)
      throw rephrase(thrown, 'Circuit breaker is OPEN - service unavailable', thrown)
    }
  }

  async executeRequest(request: ManagedRequest, options?: CallOptions): Promise<any> {
    const { signal, rest } = splitSignal(options)
    const call = { ...rest, ...(signal && { signal }), [INTERNAL]: { singleAttempt: true } }
    return this.#runInSlot(request, signal, () => send(this.client, request, call, undefined))
  }

  shouldRetry(error: unknown): boolean {
    return this.client.isRetryable(error)
  }

  sleep(ms: number): Promise<void> {
    return this.client.sleep(ms)
  }

  /** Runs a call when a slot is free. An abort leaves the queue. */
  async #runInSlot<T>(request: ManagedRequest, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#maxConcurrent) await this.#enqueue(request, signal)
    else this.#running++
    try {
      return await run()
    } finally {
      const next = this.requestQueue.shift()
      // The next call inherits the slot, so the number of running calls stays the same.
      if (next) next.enter()
      else this.#running--
    }
  }

  #enqueue(request: ManagedRequest, signal: AbortSignal | undefined): Promise<void> {
    if (this.requestQueue.length >= this.#maxQueue) {
      const error = new QueueFullError(`the queue is full: ${this.#maxQueue} calls are waiting`)
      return Promise.reject(Object.assign(error, { code: 'QUEUE_FULL' }))
    }
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const abort = () => {
        this.requestQueue.splice(this.requestQueue.indexOf(queued), 1)
        reject(signal?.reason)
      }
      const queued: QueuedCall = {
        request,
        enter: () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
      }
      this.requestQueue.push(queued)
      signal?.addEventListener('abort', abort, bare({ once: true }))
    })
  }
}

/** The retry options of a call with the tutorial's delays. */
function retryOptions(
  retry: CallOptions['retry'],
  delays: { baseDelay?: number; maxDelay?: number },
): CallOptions['retry'] {
  const tutorialDelays = defined(delays)
  for (const [name, value] of Object.entries(tutorialDelays)) wholeMs(name, value)
  const { baseDelay: baseDelayMs, maxDelay: maxDelayMs } = tutorialDelays
  return { ...optionsObject('retry', retry), ...defined({ baseDelayMs, maxDelayMs }) }
}

/** Runs one call. With `stream: true` the request's `onChunk` gets the text. */
async function send(
  client: HolySheepStreamingClient,
  request: ManagedRequest,
  options: CallOptions & WithInternalOptions,
  listener: WithEventListener[typeof EVENTS],
): Promise<ChatCompletion | StreamResult> {
  const { onChunk, ...body } = optionsObject('request', request) as ManagedRequest
  bare(body)
  const chunkCallback = callback('onChunk', onChunk)
  const call = { ...options, ...(listener && { [EVENTS]: listener }) }
  if (body.stream !== true) return client.chat(body, call)
  const stream = client.stream(body, call)
  for await (const text of stream.textStream) await chunkCallback?.(text)
  return stream.result
}

/** An event listener that calls `onRetry` before the wait of each retry. */
function retryNotifier(onRetry: ExecuteOptions['onRetry']): WithEventListener[typeof EVENTS] {
  if (!onRetry) return undefined
  const attempts: AttemptSummary[] = []
  let retries = 0
  let isNotified = true
  const notifyRetry = (ms: number) => {
    const error = attempts.at(-1)?.error
    if (isNotified || !error) return
    isNotified = true
    const attempt = ++retries
    notify('onRetry', () => onRetry(attempt, error, ms), undefined)
  }
  return recordAttempts(attempts, (event) => {
    if (event.type === 'attempt-failed') isNotified = false
    if (event.type === 'wait' && (event.reason === 'backoff' || event.reason === 'retry-after')) notifyRetry(event.ms)
  })
}
