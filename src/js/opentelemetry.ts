/**
 * `holysheep/opentelemetry`: spans and metrics from the channels of `observe.ts`, by the semantic conventions for
 * generative AI. https://github.com/open-telemetry/semantic-conventions-genai (status: development).
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type * as Api from '@opentelemetry/api'
import type { AttemptTrace, CallTrace, ClientEvent, HolySheepError } from '../../index'
import type { InstrumentationConfig } from '../../opentelemetry'
import { addon } from './native'
import { callback, checkKnownOptions, optionsObject } from './options'

const api = load()

function load(): typeof Api {
  try {
    return require('@opentelemetry/api')
  } catch (cause) {
    const message = 'holysheep/opentelemetry needs the package @opentelemetry/api: npm install @opentelemetry/api'
    throw Object.assign(new Error(message, { cause }), { code: 'MODULE_NOT_FOUND' })
  }
}

const NAME = 'holysheep'
const CALL = 'tracing:holysheep:call'
const ATTEMPT = 'tracing:holysheep:attempt'
/** The boundaries that the conventions recommend. */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const TOKENS = Array.from({ length: 14 }, (_, power) => 4 ** power)

/** The conventions' names of providers by host. For other hosts the name is that of the API's format, `openai`. */
const PROVIDERS: Array<[RegExp, string]> = [
  [/(^|\.)holysheep\.ai$/, 'holysheep'],
  [/(^|\.)openai\.azure\.com$/, 'azure.ai.openai'],
  [/(^|\.)anthropic\.com$/, 'anthropic'],
  [/(^|\.)deepseek\.com$/, 'deepseek'],
  [/(^|\.)groq\.com$/, 'groq'],
  [/(^|\.)mistral\.ai$/, 'mistral_ai'],
  [/(^|\.)moonshot\.(ai|cn)$/, 'moonshot_ai'],
  [/(^|\.)perplexity\.ai$/, 'perplexity'],
  [/(^|\.)x\.ai$/, 'x_ai'],
  [/(^|\.)cohere\.(ai|com)$/, 'cohere'],
  [/(^|\.)generativelanguage\.googleapis\.com$/, 'gcp.gemini'],
  [/(^|\.)aiplatform\.googleapis\.com$/, 'gcp.vertex_ai'],
]

/** The open spans of a call. */
interface OpenCall {
  span: Api.Span
  context: Api.Context
  attempts: Map<number, Api.Span>
}

function makeInstruments(meter: Api.Meter) {
  const histogram = (name: string, unit: string, description: string, explicitBucketBoundaries: number[]) =>
    meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries } })
  const first = 'Time to receive the first chunk of a streamed answer.'
  return {
    duration: histogram('gen_ai.client.operation.duration', 's', 'GenAI operation duration.', SECONDS),
    tokens: histogram('gen_ai.client.token.usage', '{token}', 'Number of input and output tokens used.', TOKENS),
    firstChunk: histogram('gen_ai.client.operation.time_to_first_chunk', 's', first, SECONDS),
  }
}

/** The tokens of a call, whose usage has the field names of its dialect. */
function tokensOf({ result }: CallTrace): { input?: number; output?: number } {
  const { prompt_tokens, completion_tokens, input_tokens, output_tokens } = (result?.usage ?? {}) as Record<
    string,
    unknown
  >
  return {
    input: numberOrUndefined(prompt_tokens ?? input_tokens),
    output: numberOrUndefined(completion_tokens ?? output_tokens),
  }
}

/** The code of our errors, and the name of any other, such as the reason of an abort. */
function typeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  if (typeof code === 'string') return code
  return typeof name === 'string' ? name : '_OTHER'
}

function detail(details: unknown, field: string): number | undefined {
  return numberOrUndefined((details as Record<string, unknown> | undefined)?.[field])
}

export function instrument(config?: InstrumentationConfig): HolySheepInstrumentation {
  return new HolySheepInstrumentation(config)
}

function providerOf(host = ''): string {
  return PROVIDERS.find(([pattern]) => pattern.test(host))?.[1] ?? 'openai'
}

/** The attributes that have a value. */
function present(attributes: Record<string, Api.AttributeValue | null | undefined>): Api.Attributes {
  return Object.fromEntries(
    Object.entries(attributes).filter(([, value]) => value !== undefined && value !== null),
  ) as Api.Attributes
}

const numberOrUndefined = (value: unknown) => (typeof value === 'number' ? value : undefined)

export class HolySheepInstrumentation {
  readonly instrumentationName = NAME
  readonly instrumentationVersion = addon.version()
  #config: InstrumentationConfig = {}
  #tracers: Api.TracerProvider | undefined
  #meters: Api.MeterProvider | undefined
  /** Created at the first measurement, because a provider may be registered after the construction. */
  #instruments: ReturnType<typeof makeInstruments> | undefined
  #enabled = false
  readonly #open = new Map<CallTrace, OpenCall>()
  /** The open calls by the id that events have. */
  readonly #byId = new Map<string, OpenCall>()
  readonly #listeners: Array<[string, (message: unknown) => void]> = [
    [`${CALL}:start`, (trace) => this.#callStarted(trace as CallTrace)],
    [`${CALL}:asyncEnd`, (trace) => this.#callEnded(trace as CallTrace)],
    [`${ATTEMPT}:start`, (trace) => this.#attemptStarted(trace as AttemptTrace)],
    [`${ATTEMPT}:asyncEnd`, (trace) => this.#attemptEnded(trace as AttemptTrace)],
    ['holysheep:event', (event) => this.#addSpanEvent(event as ClientEvent)],
  ]

  constructor(config?: InstrumentationConfig) {
    this.setConfig(config)
    if (this.#config.enabled !== false) this.enable()
  }

  getConfig(): InstrumentationConfig {
    return this.#config
  }
  setConfig(config?: InstrumentationConfig): void {
    const checked = optionsObject('config', config) as InstrumentationConfig
    checkKnownOptions(checked, ['enabled', 'attemptSpans', 'providerName', 'attributes'])
    callback('attributes', checked.attributes)
    this.#config = checked
  }
  setTracerProvider(provider: Api.TracerProvider): void {
    this.#tracers = provider
  }
  setMeterProvider(provider: Api.MeterProvider): void {
    this.#meters = provider
    this.#instruments = undefined
  }

  enable(): void {
    if (this.#enabled) return
    this.#enabled = true
    for (const [name, listener] of this.#listeners) subscribe(name, listener)
  }
  disable(): void {
    if (!this.#enabled) return
    this.#enabled = false
    for (const [name, listener] of this.#listeners) unsubscribe(name, listener)
    for (const { span, attempts } of this.#open.values()) {
      for (const attempt of attempts.values()) attempt.end()
      span.end()
    }
    this.#open.clear()
    this.#byId.clear()
  }

  get #tracer(): Api.Tracer {
    return (this.#tracers ?? api.trace).getTracer(NAME, this.instrumentationVersion)
  }

  /** The common attributes of the spans and metrics of a call. */
  #common(trace: CallTrace): Api.Attributes {
    const { providerName } = this.#config
    return present({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': providerName ?? providerOf(trace.server?.address),
      'gen_ai.request.model': trace.model,
      'server.address': trace.server?.address,
      'server.port': trace.server?.port,
    })
  }

  #callStarted(trace: CallTrace) {
    const { request, sessionId } = trace
    const { n, stop, response_format: format } = request
    const choices = numberOrUndefined(n)
    const type = (format as { type?: string } | undefined)?.type
    const attributes = present({
      ...this.#common(trace),
      // `chat()` streams upstream too.
      'gen_ai.request.stream': true,
      'gen_ai.conversation.id': sessionId,
      'gen_ai.output.type': type?.startsWith('json') ? 'json' : type === 'text' ? 'text' : undefined,
      'gen_ai.request.choice.count': choices === 1 ? undefined : choices,
      'gen_ai.request.max_tokens': numberOrUndefined(
        request.max_completion_tokens ?? request.max_output_tokens ?? request.max_tokens,
      ),
      'gen_ai.request.temperature': numberOrUndefined(request.temperature),
      'gen_ai.request.top_p': numberOrUndefined(request.top_p),
      'gen_ai.request.frequency_penalty': numberOrUndefined(request.frequency_penalty),
      'gen_ai.request.presence_penalty': numberOrUndefined(request.presence_penalty),
      'gen_ai.request.seed': numberOrUndefined(request.seed),
      'gen_ai.request.stop_sequences': typeof stop === 'string' ? [stop] : Array.isArray(stop) ? stop : undefined,
      ...this.#customAttributes(trace),
    })
    const parent = api.context.active()
    const span = this.#tracer.startSpan(`chat ${trace.model}`, { kind: api.SpanKind.CLIENT, attributes }, parent)
    this.#open.set(trace, { span, context: api.trace.setSpan(parent, span), attempts: new Map() })
  }

  /** The attributes that the application adds. */
  #customAttributes(trace: CallTrace): Api.Attributes {
    try {
      return this.#config.attributes?.(trace) ?? {}
    } catch (error) {
      api.diag.error('holysheep/opentelemetry: attributes() failed', error as Error)
      return {}
    }
  }

  #attemptStarted(trace: AttemptTrace) {
    const open = this.#open.get(trace.parent)
    if (!open) return
    this.#byId.set(trace.call, open)
    if (this.#config.attemptSpans === false) return
    const attributes = present({
      'http.request.method': 'POST',
      'http.request.resend_count': trace.attempt > 1 ? trace.attempt - 1 : undefined,
      'server.address': trace.server?.address,
      'server.port': trace.server?.port,
      'gen_ai.request.model': trace.model,
      'holysheep.endpoint': trace.endpoint,
      'holysheep.attempt': trace.attempt,
      'holysheep.attempt.reason': trace.reason,
      'holysheep.request.id': trace.requestId,
    })
    const span = this.#tracer.startSpan('POST', { kind: api.SpanKind.CLIENT, attributes }, open.context)
    open.attempts.set(trace.attempt, span)
  }

  #attemptEnded({ parent, attempt, outcome, status, message }: AttemptTrace) {
    const open = this.#open.get(parent)
    const span = open?.attempts.get(attempt)
    if (!open || !span) return
    open.attempts.delete(attempt)
    span.setAttributes(present({ 'http.response.status_code': status }))
    if (message !== undefined) {
      span.setAttribute('error.type', outcome ?? '_OTHER')
      span.setStatus({ code: api.SpanStatusCode.ERROR, message })
    } else if (outcome !== 'complete') {
      span.setAttribute('holysheep.attempt.outcome', outcome ?? '')
    }
    span.end()
  }

  /** Adds what happens between attempts to the call's span. */
  #addSpanEvent(event: ClientEvent) {
    const open = event.call === undefined ? undefined : this.#byId.get(event.call)
    if (!open) return
    const add = (name: string, attributes: Parameters<typeof present>[0]) =>
      open.span.addEvent(`holysheep.${name}`, present(attributes))
    const route = ({ endpoint, model }: { endpoint: string; model: string }) => ({
      'holysheep.endpoint': endpoint,
      'gen_ai.request.model': model,
    })
    switch (event.type) {
      case 'attempt':
        if (event.reason === 'retry' || event.reason === 'hedge') {
          add(event.reason, { ...route(event), 'holysheep.attempt': event.attempt })
        }
        return
      case 'attempt-failed':
        return add('attempt_failed', {
          ...route(event),
          'holysheep.attempt': event.attempt,
          'error.type': event.code,
          'http.response.status_code': event.status,
        })
      case 'wait':
        return add('wait', { 'holysheep.wait.ms': event.ms, 'holysheep.wait.reason': event.reason })
      case 'fallback':
        return add('fallback', { ...route(event), 'holysheep.fallback.from': event.fromEndpoint })
      case 'recovery':
        return add('recovery', { ...route(event), 'holysheep.recovery.received_characters': event.received })
      case 'circuit':
        return add('circuit', {
          ...route(event),
          'holysheep.circuit.from': event.from,
          'holysheep.circuit.to': event.to,
        })
      case 'retry-budget':
        return add('retry_budget', { 'holysheep.retry_budget': event.budget })
    }
  }

  #callEnded(trace: CallTrace) {
    const open = this.#open.get(trace)
    if (!open) return
    this.#open.delete(trace)
    if (trace.call !== undefined) this.#byId.delete(trace.call)
    for (const attempt of open.attempts.values()) attempt.end()
    const { result, error } = trace
    const { input, output } = tokensOf(trace)
    const usage = result?.usage
    const common = { ...this.#common(trace), ...present({ 'gen_ai.response.model': result?.model }) }
    const failure = error === undefined ? undefined : typeOf(error)
    const firstChunk = trace.firstTokenMs === undefined ? undefined : trace.firstTokenMs / 1000
    open.span.setAttributes(
      present({
        ...common,
        'gen_ai.response.id': result?.id,
        'gen_ai.response.finish_reasons': result?.finishReasons,
        'gen_ai.response.time_to_first_chunk': firstChunk,
        'gen_ai.usage.input_tokens': input,
        'gen_ai.usage.output_tokens': output,
        'gen_ai.usage.cache_read.input_tokens': detail(usage?.prompt_tokens_details, 'cached_tokens'),
        'gen_ai.usage.reasoning.output_tokens': detail(usage?.completion_tokens_details, 'reasoning_tokens'),
        'error.type': failure,
        'holysheep.endpoint': result?.endpoint,
        'holysheep.attempts': result?.attempts.length ?? (error as HolySheepError | undefined)?.attempts?.length,
        'holysheep.recoveries': result?.recoveries,
        'holysheep.cost_usd': result?.costUsd,
      }),
    )
    if (failure !== undefined) {
      open.span.setStatus({ code: api.SpanStatusCode.ERROR, message: (error as Error)?.message ?? String(error) })
    }
    open.span.end()
    this.#measure(trace, { ...common, ...present({ 'error.type': failure }) }, common, open.context, firstChunk)
  }

  #measure(
    trace: CallTrace,
    ended: Api.Attributes,
    common: Api.Attributes,
    context: Api.Context,
    firstChunk: number | undefined,
  ) {
    const meters = this.#meters ?? api.metrics
    this.#instruments ??= makeInstruments(meters.getMeter(NAME, this.instrumentationVersion))
    const { duration, tokens, firstChunk: chunks } = this.#instruments
    const { durationMs = 0, operation } = trace
    duration.record(durationMs / 1000, ended, context)
    if (operation === 'stream' && firstChunk !== undefined) chunks.record(firstChunk, common, context)
    for (const [type, count] of Object.entries(tokensOf(trace))) {
      if (count !== undefined) tokens.record(count, { ...common, 'gen_ai.token.type': type }, context)
    }
  }
}
