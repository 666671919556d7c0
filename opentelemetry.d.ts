/** `holysheep/opentelemetry`: spans and metrics of every client of this process (docs/observability.md). */
import type { Attributes, MeterProvider, TracerProvider } from '@opentelemetry/api'
import type { CallTrace } from './index.js'

export interface InstrumentationConfig {
  /** Whether it begins at once; default true. */
  enabled?: boolean
  /** Whether each attempt has a span below that of its call; default true. */
  attemptSpans?: boolean
  /** `gen_ai.provider.name`; by default by the endpoint's host, and `openai` for one that is not known. */
  providerName?: string
  /** Attributes of your own for the span of a call: from `trace.request`, say. What it throws is told to OpenTelemetry's `diag`. */
  attributes?(trace: CallTrace): Attributes
}

/**
 * An instrumentation as `registerInstrumentations` takes it. By itself it uses the providers that are registered globally.
 * Prompts and answers are not recorded.
 */
export class HolySheepInstrumentation {
  constructor(config?: InstrumentationConfig)
  readonly instrumentationName: string
  readonly instrumentationVersion: string
  enable(): void
  /** Ends the spans that are open, and makes no more. */
  disable(): void
  setTracerProvider(provider: TracerProvider): void
  setMeterProvider(provider: MeterProvider): void
  getConfig(): InstrumentationConfig
  setConfig(config?: InstrumentationConfig): void
}

/** `new HolySheepInstrumentation(config)`. */
export function instrument(config?: InstrumentationConfig): HolySheepInstrumentation
