/** Shared by the wrappers: their base class, and a call to the engine with a summary of its attempts. */
import type { CallOptions, ChatCompletion, ChatRequest, ClientEvent, ClientOptions } from '../../../index'
import { HolySheepStreamingClient } from '../client'
import { fromRecord, HolySheepError, lastError } from '../errors'
import { EVENTS, INTERNAL, optionsObject, type WithEventListener, type WithInternalOptions } from '../options'
import { bare } from '../own'
import { now } from '../timers'

/** The request defaults of tutorial 003. */
export const REQUEST_DEFAULTS = { temperature: 0.7, max_tokens: 500 }
/** The timeouts of tutorial 003. */
export const DEFAULT_TIMEOUTS = {
  connectTimeoutMs: 10_000,
  firstTokenTimeoutMs: 8000,
  idleTimeoutMs: 8000,
}

export type Messages = ChatRequest['messages']

/**
 * A client with the options of a tutorial as defaults. `alsoAccepted` are the options that the wrapper has read itself, for
 * the error of an unknown option.
 */
export function clientOf(
  apiKey: string | undefined,
  defaults: ClientOptions,
  options: unknown,
  alsoAccepted: string[] = [],
): HolySheepStreamingClient {
  const overrides = defined(optionsObject('options', options)) as ClientOptions
  const { retry: byDefault } = bare({ ...defaults })
  const retry = byDefault && { retry: { ...byDefault, ...overrides.retry } }
  const merged = {
    ...defaults,
    ...overrides,
    ...retry,
    ...(apiKey !== undefined && { apiKey }),
    [INTERNAL]: { alsoAccepted },
  }
  return new HolySheepStreamingClient(merged as ClientOptions)
}

/** Removes undefined members, so that they do not override defaults. */
export function defined<T extends object>(options: T): Partial<T> {
  return bare(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))) as Partial<T>
}

/** The base of a wrapper with a client that is not shared, so that the client's metrics are those of the wrapper. */
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

  /** Without the key, which an inspector that evaluates getters would show. */
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

/** The mean latency of answers. The durations in the metrics include failures. */
export class Mean {
  #count = 0
  #sum = 0

  add(ms: number) {
    this.#count++
    this.#sum += ms
  }

  /** The mean; 0 without values. */
  get value(): number {
    return this.#count > 0 ? this.#sum / this.#count : 0
  }
}

/** Where an attempt went, and why it failed. */
export interface AttemptSummary {
  endpoint: string
  model: string
  /** Undefined unless the attempt has failed. */
  error?: Error
}

/** The outcome of a call: `data` or `error`, and the attempts. */
export interface CallOutcome {
  data?: ChatCompletion
  /** The error of the last attempt. */
  error?: HolySheepError & Error
  attempts: AttemptSummary[]
  /** The duration of the last attempt. */
  latencyMs: number
}

/** The same error with the message of a tutorial. */
export function rephrase<E extends HolySheepError & Error>(thrown: E, message: string, cause: unknown): E {
  const { code, status, retryAfterMs, requestId, partial, attempts } = thrown
  const Class = thrown.constructor as new (message: string, options: ErrorOptions) => E
  return Object.assign(
    new Class(message, { cause }),
    defined({ code, status, retryAfterMs, requestId, partial, attempts }),
  )
}

/** The error of a failed attempt. */
export function errorOf(event: ClientEvent & { type: 'attempt-failed' }): Error {
  const { class: name, code, message, status, requestId } = event
  return fromRecord({ class: name, code, message, requestId, ...(status !== undefined && { status }) })
}

/** An event listener that records the attempts of a call. */
export function recordAttempts(
  attempts: AttemptSummary[],
  onEvent?: (event: ClientEvent) => void,
): (event: ClientEvent) => void {
  return (event) => {
    if (event.type === 'attempt') {
      attempts.push({ endpoint: event.endpoint, model: event.model })
    } else if (event.type === 'attempt-failed') {
      const last = attempts.at(-1)
      if (last) last.error = errorOf(event)
    }
    onEvent?.(event)
  }
}

/** Runs a chat call. Rejects only for invalid arguments and for the caller's abort: other errors are in the outcome. */
export async function runChat(
  client: HolySheepStreamingClient,
  request: ChatRequest,
  options: CallOptions & WithInternalOptions,
  onEvent?: (event: ClientEvent) => void,
): Promise<CallOutcome> {
  const attempts: AttemptSummary[] = []
  const started = now()
  // Summed from the events, because they may arrive together with the end of the call.
  let beforeLastMs = 0
  const addTime = (event: ClientEvent) => {
    if (event.type === 'attempt-failed') beforeLastMs += event.durationMs
    else if (event.type === 'wait') beforeLastMs += event.ms
    onEvent?.(event)
  }
  const latency = () => Math.max(0, now() - started - beforeLastMs)
  const listener: WithEventListener = { [EVENTS]: recordAttempts(attempts, addTime) }
  try {
    const internal = { ...options[INTERNAL], mirrored: true }
    const data = await client.chat(request, { ...options, ...listener, [INTERNAL]: internal } as typeof options)
    return { data, attempts, latencyMs: latency() }
  } catch (thrown) {
    if (!(thrown instanceof HolySheepError)) throw thrown
    const error = lastError(thrown) as HolySheepError & Error
    return { error, attempts, latencyMs: latency() }
  }
}

/** A percentage with a number of digits: `'66.7%'`. */
export function percent(part: number, total: number, digits: number): string {
  return `${(total > 0 ? (part / total) * 100 : 0).toFixed(digits)}%`
}
