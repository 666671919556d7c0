/** `holysheep/opentelemetry`: spans and metrics of every client of this process (docs/observability.md). */
import type { Attributes, MeterProvider, TracerProvider } from '@opentelemetry/api'
import type { CallTrace } from './index.js'

export interface InstrumentationConfig {
  /** Whether it is enabled immediately. @default true */
  enabled?: boolean
  /** Whether each attempt has a child span of its call's span. @default true */
  attemptSpans?: boolean
  /** `gen_ai.provider.name`. By default derived from the endpoint's host, `openai` for an unknown one. */
  providerName?: string
  /** Additional attributes for a call's span, for example from `trace.request`. Errors go to OpenTelemetry's `diag`. */
  attributes?(trace: CallTrace): Attributes
}

/**
 * An instrumentation for `registerInstrumentations`. By default it uses the globally registered providers. Prompts and
 * answers are not recorded.
 */
export class HolySheepInstrumentation {
  constructor(config?: InstrumentationConfig)
  readonly instrumentationName: string
  readonly instrumentationVersion: string
  enable(): void
  /** Ends the open spans and creates no more. */
  disable(): void
  setTracerProvider(provider: TracerProvider): void
  setMeterProvider(provider: MeterProvider): void
  getConfig(): InstrumentationConfig
  setConfig(config?: InstrumentationConfig): void
}

/** `new HolySheepInstrumentation(config)`. */
export function instrument(config?: InstrumentationConfig): HolySheepInstrumentation
