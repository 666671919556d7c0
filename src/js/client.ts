/** `HolySheepStreamingClient`: a thin wrapper around the engine. The policies are in Rust. */
import type {
  CallOptions,
  ChatCompletion,
  ChatRequest,
  CircuitState,
  ClientEvent,
  ClientOptions,
  ContinuationProbeOptions,
  CostReport,
  EndpointHealth,
  Metrics,
  ProbedContinuation,
  ProviderModel,
  RecoveryOptions,
  Snapshot,
  StreamOutcome,
} from '../../index'
import { type BreakerCallbacks, LIMITER, type Options, readArguments, readBreaker, splitRecovery } from './arguments'
import { type CircuitBreaker, nativeBreaker } from './breaker'
import {
  abortedCall,
  type CallHandle,
  type Consumer,
  NOTHING,
  ONLY_END,
  StartFlag,
  TEXT,
  UNSTARTED,
} from './call-handle'
import { CallsInFlight } from './calls-in-flight'
import { BRAND, type Brand } from './copies'
import { countPrompt, type SoftLimitEvent, splitCost } from './cost'
import { decisionRow } from './decision-row'
import { HolySheepError, invalid, isRetryable, lastError, native, unknownOption, withCallerStack } from './errors'
import { open } from './hub'
import { readLogger } from './logger'
import { addon, copy } from './native'
import { proxyEnvironment, readCa, trustEnvironment } from './network'
import { type CallObserver, observe } from './observe'
import {
  callback,
  EVENTS,
  encode,
  encodeRequest,
  INTERNAL,
  notify,
  optionsObject,
  splitSignal,
  type WithEventListener,
  type WithInternalOptions,
} from './options'
import { bare, environment, own, stringify } from './own'
import { sleep } from './sleep'
import { type ReadPosition, readSnapshot, withSnapshot } from './snapshot'
import { type ChatStream, createStream } from './stream'

/** The defaults from Rust. */
const defaults = JSON.parse(addon.defaults()) as {
  maxRetries: number
  model: string
  retry: { baseDelayMs: number }
}
/** The default endpoint in the form of the HolySheep tutorials. */
const DEFAULT_HOST = 'api.holysheep.ai'

/** The kind in the brand of a client. */
export const CLIENT = 'a HolySheepStreamingClient'

type Messages = ChatRequest['messages']

/** Replaces the shared breaker of a client. For the wrappers. */
export let setBreaker: (client: HolySheepStreamingClient, breaker: CircuitBreaker) => void

/** Starts a call with the JSON of a request in a dialect. For `holysheep/fetch`. */
export let startCall: (
  client: HolySheepStreamingClient,
  body: string,
  options: CallOptions,
  consumer: Consumer,
  unstreamed: boolean,
  snapshot?: undefined,
  dialect?: string,
) => CallHandle

export class HolySheepStreamingClient {
  static {
    startCall = (client, ...rest) => client.#start(...rest)
    setBreaker = (client, breaker) => {
      client.#native.setBreaker(nativeBreaker(breaker))
      client.#breakerCallbacks = breaker
    }
  }

  readonly #native: InstanceType<typeof addon.NativeClient>
  #breakerCallbacks: BreakerCallbacks
  readonly #onEvent: ((event: ClientEvent) => void) | undefined
  readonly #log: ((event: ClientEvent) => void) | undefined
  readonly #inFlight = new CallsInFlight()
  readonly #coalesce: boolean
  readonly #onRestart: (() => void) | undefined
  readonly #costCallbacks: ReturnType<typeof splitCost>['callbacks']
  #options: Options

  constructor(apiKey?: string | ClientOptions, options?: number | ClientOptions) {
    const merged = readArguments(apiKey, options)
    const { onEvent, logger, circuitBreaker, ...others } = merged
    const rest = bare(others)
    this.#onEvent = callback('onEvent', onEvent)
    this.#log = readLogger(logger)
    const [breaker, breakerCallbacks, shared] = readBreaker(circuitBreaker)
    this.#breakerCallbacks = breakerCallbacks
    this.#coalesce = rest.coalesce === true
    this.#onRestart = splitRecovery(rest).onRestart
    const { callbacks, rest: encodable } = splitCost(splitRecovery(rest).rest)
    this.#costCallbacks = callbacks
    trustEnvironment()
    this.#options = bare({
      ...encodable,
      ca: readCa(rest.ca) as string | string[] | undefined,
      $proxy: proxyEnvironment(),
      apiKey: rest.apiKey ?? environment('HOLYSHEEP_API_KEY'),
      baseUrl: rest.baseUrl ?? (rest.endpoints ? undefined : environment('HOLYSHEEP_BASE_URL')),
      circuitBreaker: breaker,
    })
    this.#native = native(
      () =>
        new addon.NativeClient(
          encode(this.#options),
          shared && nativeBreaker(shared),
          merged[LIMITER],
          merged[INTERNAL]?.alsoAccepted,
        ),
    )
  }

  get [BRAND](): Brand {
    return { kind: CLIENT, copy }
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
    this.#configure({ retry: bare({ ...this.#options.retry, baseDelayMs }) })
  }

  async streamWithRetry(
    messages: Messages,
    onChunk?: ((content: string) => unknown) | null,
    onError?: ((error: Error) => unknown) | null,
    options?: CallOptions,
  ): Promise<StreamOutcome> {
    const errorCallback = callback('onError', onError)
    const mirrored: CallOptions & WithInternalOptions = {
      ...optionsObject('options', options),
      [INTERNAL]: { mirrored: true },
    }
    const { finished, call } = this.#streamText({ messages }, onChunk, mirrored)
    try {
      await withCallerStack(finished)
      return { success: true, attempts: call.attempts() }
    } catch (thrown) {
      const error = lastError(thrown)
      // The error of an abort, or of a callback, does not say it.
      const attempts = call.attempts()
      notify('onError', errorCallback, error)
      return { success: false, error, attempts }
    }
  }

  async executeStream(
    messages: Messages,
    onChunk?: ((content: string) => unknown) | null,
    options?: CallOptions,
  ): Promise<void> {
    const singleAttempt: CallOptions & WithInternalOptions = {
      ...optionsObject('options', options),
      [INTERNAL]: { singleAttempt: true },
    }
    await withCallerStack(this.#streamText({ messages }, onChunk, singleAttempt).finished)
  }

  isRetryable(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false
    const { code, status, cause } = error as { code?: unknown; status?: unknown; cause?: { code?: unknown } }
    const named = error instanceof HolySheepError ? code : (code ?? cause?.code)
    const row = decisionRow(this.#options.retry?.retryOn, named, status)
    if (row) return row !== 'never' && row !== 'fallback'
    return isRetryable(error)
  }

  sleep(ms: number): Promise<void> {
    return sleep(ms)
  }

  stream(request: ChatRequest, options?: CallOptions): ChatStream {
    return this.#stream(request, options)
  }

  resume(snapshot: Snapshot, request?: ChatRequest, options?: CallOptions): ChatStream {
    const { request: full, json, dialect } = readSnapshot(snapshot, request)
    const { text = '', deltas = 0 } = bare({ ...(own(snapshot, 'answer') as Partial<Snapshot['answer']>) })
    return this.#stream(full, options, { json, dialect, position: { length: text.length, deltas } })
  }

  #stream(
    request: ChatRequest,
    options?: CallOptions,
    snapshot?: { json: string; dialect?: string | undefined; position: ReadPosition },
  ): ChatStream {
    const body = encodeRequest(request)
    return createStream({
      enter: (consumer) => this.#start(body, options, consumer, false, snapshot?.json, snapshot?.dialect),
      body,
      textOnly: snapshot?.dialect !== undefined,
      withUsage: own(own(request, 'stream_options'), 'include_usage') === true,
      resumedAt: snapshot?.position ?? { length: 0, deltas: 0 },
      signal: own(options, 'signal') as AbortSignal | undefined,
    })
  }

  async chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion> {
    const answer = new Promise<string>((end, error) => {
      this.#start(encodeRequest(request), options, { ...ONLY_END, end, error }, true).begin(NOTHING)
    })
    const json = await withCallerStack(answer)
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
    for (const name of Object.keys(rest)) throw unknownOption(name, 'signal')
    return this.#ask((hub) => this.#native.models(hub), signal)
  }

  async healthCheck(): Promise<EndpointHealth[]> {
    return this.#ask((hub) => this.#native.checkHealth(hub))
  }

  async probeContinuation(options?: ContinuationProbeOptions): Promise<ProbedContinuation[]> {
    const { signal, rest } = splitSignal(options)
    return this.#ask((hub) => this.#native.probeContinuation(hub, encode(rest)), signal)
  }

  /** Starts what is not a call of the caller. Resolves to its result. */
  async #ask<T>(start: (hub: InstanceType<typeof addon.NativeHub>) => number, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const answer = new Promise<string>((end, error) => {
      open({ ...ONLY_END, end, error }, signal, false, (hub) => native(() => start(hub))).begin(NOTHING)
    })
    const settle = this.#inFlight.begin()
    answer.then(settle, settle)
    return JSON.parse(await withCallerStack(answer))
  }

  metrics(): Metrics {
    return JSON.parse(this.#native.metrics())
  }

  metricsText(): string {
    return this.#native.metricsText()
  }

  async close(): Promise<void> {
    this.#native.close()
    await this.#inFlight.settled()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Streams text to a callback. Throws for invalid arguments. */
  #streamText(
    request: ChatRequest,
    onChunk: unknown,
    options: CallOptions | undefined,
  ): { finished: Promise<void>; call: CallHandle } {
    const delta = callback('onChunk', onChunk as (content: string) => unknown)
    let end: Consumer['end'] = () => {}
    let error: Consumer['error'] = () => {}
    const finished = new Promise<void>((resolve, reject) => {
      end = () => resolve()
      error = reject
    })
    const consumer = { ...ONLY_END, delta, end, error, readsResult: false }
    let call: CallHandle
    try {
      call = this.#start(encodeRequest(request), options, consumer, false)
      call.begin(delta ? TEXT : NOTHING)
    } catch (thrown) {
      // What this machine lacks is a failure of the call.
      if ((thrown as { code?: unknown }).code !== 'LOCAL_RESOURCE') throw thrown
      error(thrown, false)
      call = UNSTARTED
    }
    return { finished, call }
  }

  /** Starts a call. Throws for invalid arguments. An aborted signal fails the call without starting it. */
  #start(
    body: string,
    options: CallOptions | undefined,
    consumer: Consumer,
    unstreamed: boolean,
    snapshot?: string,
    dialect?: string,
  ): CallHandle {
    const { signal, rest: callOptions } = splitSignal(options)
    const { onRestart = this.#onRestart, rest } = splitRecovery(callOptions)
    const [ofCall, ofClient] = [rest.recovery, this.#options.recovery] as (RecoveryOptions | false | undefined)[]
    const mode = ofCall === false ? 'fail' : (ofCall?.mode ?? (ofClient ? ofClient.mode : undefined))
    if (mode === 'restart' && !onRestart && !unstreamed) {
      throw invalid('recovery.onRestart', undefined, "a function that discards the text so far, for mode: 'restart'")
    }
    const coalesce = rest.coalesce === undefined ? this.#coalesce : rest.coalesce === true
    const json = encode(rest)
    const internal = this.#internalOptions(body, rest, dialect)
    if (signal?.aborted) return abortedCall(consumer, signal.reason)
    const observer = observe({
      operation: unstreamed ? 'chat' : 'stream',
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
      event: this.#listener(consumer.event, (options as WithEventListener | undefined)?.[EVENTS], observer),
      isFailure: this.#breakerCallbacks.isFailure,
      end(json) {
        settle()
        observer?.end(json)
        consumer.end(json)
      },
      error(error, canceled) {
        settle()
        const withRequest = withSnapshot(error, body)
        observer?.error(withRequest)
        consumer.error(withRequest, canceled)
      },
    }
    const enter = (hub: InstanceType<typeof addon.NativeHub>) =>
      native(() => {
        const flags =
          (unstreamed ? StartFlag.WholeAnswer : 0) +
          (tracked.event ? StartFlag.Events : 0) +
          (tracked.isFailure ? StartFlag.CustomIsFailure : 0) +
          (coalesce ? StartFlag.Coalesce : 0) +
          (consumer.readsResult || observer ? 0 : StartFlag.OnlyOutcome)
        return this.#native.start(hub, body, json, flags, snapshot, internal)
      })
    const call = open(tracked, signal, coalesce, enter)
    observer?.start()
    settle = this.#inFlight.begin()
    return call
  }

  /** The internal options of a call as JSON, with its dialect and, if the caller counts tokens, those of the prompt. */
  #internalOptions(body: string, options: CallOptions & WithInternalOptions, dialect?: string): string | undefined {
    const promptTokens = this.#countTokens(body, options)
    const internal = options[INTERNAL]
    if (!internal && !promptTokens && !dialect) return undefined
    return stringify({ ...internal, promptTokens, dialect }) as string
  }

  #countTokens(body: string, options: CallOptions): Record<string, number> | undefined {
    const { countTokens } = this.#costCallbacks
    const fallbacks = options.fallbackModels ?? this.#options.fallbackModels ?? []
    return countTokens && countPrompt(countTokens, body, this.#options.model ?? defaults.model, fallbacks)
  }

  /** The event listener of a call: its consumer's, its internal one, and the observers of the client. */
  #listener(
    onConsumerEvent: Consumer['event'],
    onInternalEvent: WithEventListener[typeof EVENTS],
    observer?: CallObserver,
  ): Consumer['event'] {
    const { onStateChange } = this.#breakerCallbacks
    const others = this.#onEvent ?? onStateChange ?? this.#costCallbacks.onSoftLimit ?? this.#log ?? observer
    if (!others && !onInternalEvent) return onConsumerEvent
    return (json) => {
      onConsumerEvent?.(json)
      onInternalEvent?.(JSON.parse(json))
      this.#log?.(JSON.parse(json))
      observer?.event(JSON.parse(json))
      this.#notifyCallbacks(JSON.parse(json))
    }
  }

  #notifyCallbacks(event: ClientEvent) {
    if (event.type === 'circuit') {
      const change = { from: event.from as CircuitState, to: event.to as CircuitState }
      notify('onStateChange', this.#breakerCallbacks.onStateChange, change)
    }
    if (event.type === 'soft-limit')
      notify('cost.onSoftLimit', this.#costCallbacks.onSoftLimit, event as SoftLimitEvent)
    notify('onEvent', this.#onEvent, event)
  }

  #configure(change: Partial<Options>) {
    const options = bare({ ...this.#options, ...change })
    native(() => this.#native.configure(encode(options)))
    this.#options = options
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `${this.constructor.name} { baseUrl: '${this.baseUrl}', maxRetries: ${this.maxRetries} }`
  }
}
