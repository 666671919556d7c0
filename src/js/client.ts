/** `HolySheepStreamingClient`: a face on the engine. It decides nothing. */
import type {
  CallOptions,
  ChatCompletion,
  ChatRequest,
  CircuitState,
  ClientEvent,
  ClientOptions,
  CostReport,
  EndpointHealth,
  Metrics,
  ProviderModel,
  RecoveryOptions,
  Snapshot,
  StreamOutcome,
} from '../../index'
import { type BreakerObserver, LIMITER, type Options, readArguments, readBreaker, splitRecovery } from './arguments'
import { CircuitBreaker, nativeBreaker } from './breaker'
import { type CallHandle, type Consumer, emptySnapshot, NOTHING, TEXT } from './call-handle'
import { countPrompt, type SoftLimitEvent, splitCost } from './cost'
import { following, HolySheepError, invalid, isRetryable, lastError, native, unknown } from './errors'
import { open } from './hub'
import { readLogger } from './logger'
import { addon } from './native'
import { proxyEnvironment, readCa, trustEnvironment } from './network'
import { type CallObserver, observe } from './observe'
import {
  callback,
  EVENTS,
  encode,
  encodeRequest,
  type Heard,
  INTERNAL,
  optionsObject,
  sleep,
  splitSignal,
  tell,
  type WithInternalOptions,
} from './options'
import { ofError, type Taken, toResume } from './snapshot'
import { type ChatStream, createStream } from './stream'

/** Defaults, as Rust has them. */
const defaults = JSON.parse(addon.defaults()) as {
  maxRetries: number
  model: string
  retry: { baseDelayMs: number }
}
/** The endpoint as the HolySheep tutorials write it. */
const DEFAULT_HOST = 'api.holysheep.ai'

type Messages = ChatRequest['messages']

/** Sets another breaker of a client, in place of one of the caller's own. For the faces. */
export let setBreaker: (client: HolySheepStreamingClient, breaker: CircuitBreaker) => void

/** Starts a call with the JSON of a request as it is, in a dialect. For `holysheep/fetch`. */
export let startCall: (
  client: HolySheepStreamingClient,
  body: string,
  options: CallOptions,
  consumer: Consumer,
  whole: boolean,
  resumed?: undefined,
  dialect?: string,
) => CallHandle

export class HolySheepStreamingClient {
  static {
    startCall = (client, ...rest) => client.#start(...rest)
    setBreaker = (client, breaker) => {
      client.#native.setBreaker(nativeBreaker(breaker) as InstanceType<typeof addon.NativeBreaker>)
      client.#observer = breaker
    }
  }

  readonly #native: InstanceType<typeof addon.NativeClient>
  #observer: BreakerObserver
  readonly #onEvent: ((event: ClientEvent) => void) | undefined
  readonly #log: ((event: ClientEvent) => void) | undefined
  readonly #inFlight = new Set<Promise<unknown>>()
  readonly #coalesce: boolean
  readonly #onRestart: (() => void) | undefined
  readonly #cost: ReturnType<typeof splitCost>['functions']
  #options: Options

  constructor(apiKey?: string | ClientOptions, options?: number | ClientOptions) {
    const given = readArguments(apiKey, options)
    const { onEvent, logger, circuitBreaker, ...rest } = given
    this.#onEvent = callback('onEvent', onEvent)
    this.#log = readLogger(logger)
    const [breaker, observer] = readBreaker(circuitBreaker)
    this.#observer = observer
    this.#coalesce = rest.coalesce === true
    this.#onRestart = splitRecovery(rest).onRestart
    const { functions, rest: withoutFunctions } = splitCost(splitRecovery(rest).rest)
    this.#cost = functions
    trustEnvironment()
    this.#options = {
      ...withoutFunctions,
      ca: readCa(rest.ca) as string | string[] | undefined,
      $proxy: proxyEnvironment(),
      // An empty variable counts as none.
      apiKey: rest.apiKey ?? (process.env.HOLYSHEEP_API_KEY || undefined),
      baseUrl: rest.baseUrl ?? (rest.endpoints ? undefined : process.env.HOLYSHEEP_BASE_URL || undefined),
      circuitBreaker: breaker,
    }
    const shared = circuitBreaker instanceof CircuitBreaker ? nativeBreaker(circuitBreaker) : undefined
    this.#native = native(
      () => new addon.NativeClient(encode(this.#options), shared, given[LIMITER], given[INTERNAL]?.alsoAccepted),
    )
  }

  get apiKey(): string {
    return (this.#options.apiKey ?? '').trim()
  }
  set apiKey(apiKey: string) {
    this.#configure({ apiKey })
  }
  get maxRetries(): number {
    return this.#options.maxRetries ?? defaults.maxRetries
  }
  set maxRetries(maxRetries: number) {
    this.#configure({ maxRetries })
  }
  get baseUrl(): string {
    return this.#options.baseUrl ?? (this.#options.endpoints ? this.#native.url : DEFAULT_HOST)
  }
  set baseUrl(baseUrl: string) {
    this.#configure({ baseUrl })
  }
  get baseDelay(): number {
    return this.#options.retry?.baseDelayMs ?? defaults.retry.baseDelayMs
  }
  set baseDelay(baseDelayMs: number) {
    this.#configure({ retry: { ...this.#options.retry, baseDelayMs } })
  }

  async streamWithRetry(
    messages: Messages,
    onChunk?: ((content: string) => unknown) | null,
    onError?: ((error: Error) => unknown) | null,
    options?: CallOptions,
  ): Promise<StreamOutcome> {
    const told = callback('onError', onError)
    // Counted as they begin: a callback that throws or an abort ends the call before its own account.
    const made = { attempts: 0 }
    const run = this.#pieces({ messages }, onChunk, options, made)
    try {
      await following(run)
      return { success: true, ...made }
    } catch (thrown) {
      const error = lastError(thrown)
      tell('onError', told, error)
      return { success: false, error, ...made }
    }
  }

  async executeStream(
    messages: Messages,
    onChunk?: ((content: string) => unknown) | null,
    options?: CallOptions,
  ): Promise<void> {
    const once: CallOptions & WithInternalOptions = {
      ...optionsObject('options', options),
      [INTERNAL]: { singleAttempt: true },
    }
    await following(this.#pieces({ messages }, onChunk, once, { attempts: 0 }))
  }

  isRetryable(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false
    const { code, status, cause } = error as { code?: unknown; status?: unknown; cause?: { code?: unknown } }
    const own = error instanceof HolySheepError ? [code] : [status, code, cause?.code]
    const row = this.#decided(error instanceof HolySheepError ? code : (own[1] ?? own[2]), status)
    if (row) return row !== 'never' && row !== 'fallback'
    return isRetryable(error)
  }

  /** What the client's own decision table says of a failure, where it has a row for it. */
  #decided(code: unknown, status: unknown): unknown {
    const { retryOn } = this.#options.retry ?? {}
    if (!retryOn) return undefined
    const number = Number(status)
    const row = addon.decisionRow(encode(retryOn), String(code ?? ''), Number.isInteger(number) ? number : undefined)
    return row && JSON.parse(row)
  }

  sleep(ms: number): Promise<void> {
    return sleep(ms)
  }

  stream(request: ChatRequest, options?: CallOptions): ChatStream {
    return this.#stream(request, options)
  }

  resume(snapshot: Snapshot, request?: ChatRequest, options?: CallOptions): ChatStream {
    const { request: full, json } = toResume(snapshot, request)
    const { text = '', deltas = 0 } = snapshot.answer ?? {}
    return this.#stream(full, options, { json, taken: { length: text.length, deltas } })
  }

  #stream(request: ChatRequest, options?: CallOptions, resumed?: { json: string; taken: Taken }): ChatStream {
    const body = encodeRequest(request)
    return createStream({
      enter: (consumer) => this.#start(body, options, consumer, false, resumed?.json),
      body,
      withUsage: request.stream_options?.include_usage === true,
      earlier: resumed?.taken ?? { length: 0, deltas: 0 },
      signal: options?.signal,
    })
  }

  async chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion> {
    const asked = new Promise<string>((end, error) => {
      this.#start(encodeRequest(request), options, { end, error }, true).begin(NOTHING)
    })
    const json = await following(asked)
    const { completion, about } = JSON.parse(json)
    return Object.defineProperties(completion, {
      _request_id: { value: about.requestId },
      _cost_usd: { value: about.costUsd },
      _endpoint: { value: about.endpoint },
      _model: { value: about.model },
      _attempts: { value: about.attempts },
      _session_id: { value: about.sessionId },
    })
  }

  cost(): CostReport {
    return JSON.parse(this.#native.cost())
  }

  async models(options?: { signal?: AbortSignal }): Promise<ProviderModel[]> {
    const { signal, rest } = splitSignal(options)
    for (const name of Object.keys(rest)) throw unknown(name, 'signal')
    signal?.throwIfAborted()
    const asked = new Promise<string>((end, error) => {
      open({ end, error }, { signal }, (hub) => native(() => this.#native.models(hub))).begin(NOTHING)
    })
    const over = asked.catch(() => {})
    this.#inFlight.add(over)
    over.then(() => this.#inFlight.delete(over))
    return JSON.parse(await following(asked))
  }

  async healthCheck(): Promise<EndpointHealth[]> {
    const asked = new Promise<string>((end, error) => {
      open({ end, error }, {}, (hub) => native(() => this.#native.checkHealth(hub))).begin(NOTHING)
    })
    return JSON.parse(await following(asked))
  }

  metrics(): Metrics {
    return JSON.parse(this.#native.metrics())
  }

  metricsText(): string {
    return this.#native.metricsText()
  }

  async close(): Promise<void> {
    this.#native.close()
    await Promise.allSettled(this.#inFlight)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Streams text into a callback and counts the attempts in `made`. Throws for invalid arguments. */
  #pieces(
    request: ChatRequest,
    onChunk: unknown,
    options: CallOptions | undefined,
    made: { attempts: number },
  ): Promise<void> {
    const piece = callback('onChunk', onChunk as (content: string) => unknown)
    const consumer = { piece } as Consumer
    consumer.event = (json) => {
      if ((JSON.parse(json) as ClientEvent).type === 'attempt') made.attempts++
    }
    const over = new Promise<void>((resolve, error) => {
      consumer.end = () => resolve()
      consumer.error = error
    })
    this.#start(encodeRequest(request), options, consumer, false).begin(piece ? TEXT : NOTHING)
    return over
  }

  /** Enters a call. Throws for invalid arguments; a signal that is aborted already is told at once. */
  #start(
    body: string,
    options: CallOptions | undefined,
    consumer: Consumer,
    whole: boolean,
    resumed?: string,
    dialect?: string,
  ): CallHandle {
    const { signal, rest: callOptions } = splitSignal(options)
    const { onRestart = this.#onRestart, rest } = splitRecovery(callOptions)
    const [own, general] = [rest.recovery, this.#options.recovery] as (RecoveryOptions | false | undefined)[]
    const mode = own === false ? 'fail' : (own?.mode ?? (general ? general.mode : undefined))
    if (mode === 'restart' && !onRestart && !whole) {
      throw invalid('recovery.onRestart', undefined, "a function that drops what was shown, for mode: 'restart'")
    }
    const coalesce = rest.coalesce === undefined ? this.#coalesce : rest.coalesce === true
    const json = encode(rest)
    const internal = this.#internalOptions(body, rest)
    if (signal?.aborted) return refused(consumer, signal.reason)
    const observer = observe({
      operation: whole ? 'chat' : 'stream',
      body,
      model: this.#options.model ?? defaults.model,
      sessionId: rest.sessionId as string | undefined,
      tenant: (rest.tenant ?? this.#options.tenant) as string | undefined,
      endpoints: () => JSON.parse(this.#native.endpoints()),
    })
    let settle = () => {}
    const tracked: Consumer = {
      ...consumer,
      restart() {
        consumer.restart?.()
        onRestart?.()
      },
      event: this.#listener(consumer.event, (options as Heard | undefined)?.[EVENTS], observer),
      judge: this.#observer.isFailure,
      end(json) {
        settle()
        observer?.end(json)
        consumer.end(json)
      },
      error(error, cancelled) {
        settle()
        const completed = ofError(error, body)
        observer?.error(completed)
        consumer.error(completed, cancelled)
      },
    }
    const enter = (hub: InstanceType<typeof addon.NativeHub>) =>
      native(() => {
        const { event, judge } = tracked
        const terms = {
          wholeAnswer: whole,
          events: event !== undefined,
          customIsFailure: judge !== undefined,
          coalesce,
          snapshot: resumed,
          internal,
          dialect,
        }
        return this.#native.start(hub, body, json, terms)
      })
    const call = open(tracked, { coalesce, signal }, enter)
    observer?.start()
    const over = new Promise<void>((resolve) => {
      settle = resolve
    })
    this.#inFlight.add(over)
    over.then(() => this.#inFlight.delete(over))
    return call
  }

  /** The internal options of a call as JSON, with the prompt's tokens if the caller counts them. */
  #internalOptions(body: string, options: CallOptions & WithInternalOptions): string | undefined {
    const promptTokens = this.#counted(body, options)
    const internal = options[INTERNAL]
    return internal || promptTokens ? JSON.stringify({ ...internal, promptTokens }) : undefined
  }

  #counted(body: string, options: CallOptions): Record<string, number> | undefined {
    const { countTokens } = this.#cost
    if (!countTokens) return undefined
    const request = JSON.parse(body) as ChatRequest
    // What is no request is refused where requests are read.
    if (!Array.isArray(request.messages)) return undefined
    const named = request.model ?? this.#options.model ?? defaults.model
    const fallbacks = options.fallbackModels ?? this.#options.fallbackModels ?? []
    if (!Array.isArray(fallbacks)) return undefined
    return countPrompt(countTokens, [named, ...fallbacks], request)
  }

  /** Who hears of events: the call itself, and the observers where there are any. */
  #listener(own: Consumer['event'], heard: Heard[typeof EVENTS], observer?: CallObserver): Consumer['event'] {
    const others = this.#onEvent ?? this.#observer.onStateChange ?? this.#cost.onSoftLimit ?? this.#log ?? observer
    if (!others && !heard) return own
    return (json) => {
      own?.(json)
      heard?.(JSON.parse(json))
      this.#log?.(JSON.parse(json))
      observer?.event(JSON.parse(json))
      this.#tell(JSON.parse(json))
    }
  }

  #tell(event: ClientEvent) {
    if (event.type === 'circuit') {
      const change = { from: event.from as CircuitState, to: event.to as CircuitState }
      tell('onStateChange', this.#observer.onStateChange, change)
    }
    if (event.type === 'soft-limit') tell('cost.onSoftLimit', this.#cost.onSoftLimit, event as SoftLimitEvent)
    tell('onEvent', this.#onEvent, event)
  }

  #configure(change: Partial<Options>) {
    const options = { ...this.#options, ...change }
    native(() => this.#native.configure(encode(options)))
    this.#options = options
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `${this.constructor.name} { baseUrl: '${this.baseUrl}', maxRetries: ${this.maxRetries} }`
  }
}

/** A call that was aborted before it began. */
function refused(consumer: Consumer, reason: unknown): CallHandle {
  queueMicrotask(() => consumer.error(reason, true))
  const nothing = () => {}
  return { begin: nothing, cancel: nothing, pause: nothing, resume: nothing, again: nothing, snapshot: emptySnapshot }
}
