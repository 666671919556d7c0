/** What the wrappers share: one call to the engine, and an account of what happened on the way. */
import type { CallOptions, ChatCompletion, ChatRequest, ClientEvent, ClientOptions } from '../../../index'
import { HolySheepStreamingClient } from '../client'
import { fromRecord, HolySheepError, lastError } from '../errors'
import { EVENTS, INTERNAL, optionsObject, type WithEventListener, type WithInternalOptions } from '../options'

/** The request defaults of tutorials 003. */
export const REQUEST_DEFAULTS = { temperature: 0.7, max_tokens: 500 }
/** The timeouts of tutorials 003. */
export const DEFAULT_TIMEOUTS = {
  connectTimeoutMs: 10_000,
  firstTokenTimeoutMs: 8000,
  idleTimeoutMs: 8000,
}

export type Messages = ChatRequest['messages']

/** A client with a document's options where the caller says nothing else. `also`: what the face has read itself. */
export function clientOf(
  apiKey: string | undefined,
  preset: ClientOptions,
  given: unknown,
  also: string[] = [],
): HolySheepStreamingClient {
  const own = defined(optionsObject('options', given)) as ClientOptions
  const retry = preset.retry && { retry: { ...preset.retry, ...own.retry } }
  const options = {
    ...preset,
    ...own,
    ...retry,
    ...(apiKey !== undefined && { apiKey }),
    [INTERNAL]: { alsoAccepted: also },
  }
  return new HolySheepStreamingClient(options as ClientOptions)
}

/** Without the members that are undefined: they say nothing. */
export function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>
}

/** A face with a client of its own, so that the client's counters are the face's too. */
export abstract class Wrapper {
  readonly #client: HolySheepStreamingClient

  protected constructor(client: HolySheepStreamingClient) {
    this.#client = client
  }

  protected get client(): HolySheepStreamingClient {
    return this.#client
  }
  get apiKey(): string {
    return this.#client.apiKey
  }
  get baseUrl(): string {
    return this.#client.baseUrl
  }

  /** Short, and without the key: a getter would show it to an inspector that calls them. */
  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `${this.constructor.name} { baseUrl: '${this.baseUrl}' }`
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** The mean of latencies: of the metrics' times nobody can tell those of answers from those of failures. */
export class Mean {
  #count = 0
  #sum = 0

  add(ms: number) {
    this.#count++
    this.#sum += ms
  }

  /** 0 of none. */
  get value(): number {
    return this.#count > 0 ? this.#sum / this.#count : 0
  }
}

/** One attempt of a call. */
export interface AttemptSummary {
  endpoint: string
  model: string
  /** Why it failed; undefined while it has not. */
  error?: Error
}

/** How a call went: `data` or `error`, and what was really tried. */
export interface Account {
  data?: ChatCompletion
  /** The error of the last attempt. */
  error?: HolySheepError & Error
  attempts: AttemptSummary[]
  /** Of the last attempt. */
  latencyMs: number
}

/** The same failure in a document's words. */
export function rephrase<E extends HolySheepError & Error>(thrown: E, message: string, cause: unknown): E {
  const { code, status, retryAfterMs, requestId, partial, attempts } = thrown
  const Class = thrown.constructor as new (message: string, options: ErrorOptions) => E
  return Object.assign(
    new Class(message, { cause }),
    defined({ code, status, retryAfterMs, requestId, partial, attempts }),
  )
}

/** The error that an event tells of. */
export function errorOf(event: ClientEvent & { type: 'attempt-failed' }): Error {
  const { class: name, code, message, status, requestId } = event
  return fromRecord({ class: name, code, message, requestId, ...(status !== undefined && { status }) })
}

/** Keeps the account of a call from its events. */
export function recordAttempts(
  attempts: AttemptSummary[],
  also?: (event: ClientEvent) => void,
): (event: ClientEvent) => void {
  return (event) => {
    if (event.type === 'attempt') {
      attempts.push({ endpoint: event.endpoint, model: event.model })
    } else if (event.type === 'attempt-failed') {
      const last = attempts.at(-1)
      if (last) last.error = errorOf(event)
    }
    also?.(event)
  }
}

/**
 * ChatClient for an answer and tells how it went. Rejects for what is no failure of the call: invalid
 * arguments, and the caller's abort.
 */
export async function ask(
  client: HolySheepStreamingClient,
  request: ChatRequest,
  options: CallOptions & WithInternalOptions,
  also?: (event: ClientEvent) => void,
): Promise<Account> {
  const attempts: AttemptSummary[] = []
  const started = performance.now()
  // Events may come together with the end, so their arrival says nothing about time.
  let before = 0
  const time = (event: ClientEvent) => {
    if (event.type === 'attempt-failed') before += event.durationMs
    else if (event.type === 'wait') before += event.ms
    also?.(event)
  }
  const latency = () => Math.max(0, performance.now() - started - before)
  const heard: WithEventListener = { [EVENTS]: recordAttempts(attempts, time) }
  try {
    const data = await client.chat(request, { ...options, ...heard })
    return { data, attempts, latencyMs: latency() }
  } catch (thrown) {
    if (!(thrown instanceof HolySheepError)) throw thrown
    const error = lastError(thrown) as HolySheepError & Error
    return { error, attempts, latencyMs: latency() }
  }
}

/** A share in per cent with so many digits: `'66.7%'`. */
export function percent(part: number, whole: number, digits: number): string {
  return `${(whole > 0 ? (part / whole) * 100 : 0).toFixed(digits)}%`
}

/** Waits; an abort rejects with the signal's reason and ends the timer. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      },
      Math.min(ms, 2 ** 31 - 1),
    )
    const abort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', abort, { once: true })
  })
}
