/// <reference lib="esnext.disposable" />
/** Service levels. */
import type { CallOptions } from '../call-options.js'
import type { ChatCompletion, ChatRequest } from '../chat.js'
import type { ClientOptions } from '../client-options.js'

export type TimeoutTier = 'FAST' | 'NORMAL' | 'DEEP'

export interface TimeoutManagerOptions extends ClientOptions {
  /** How long an answer may take, in milliseconds. @default { FAST: 1000, NORMAL: 3000, DEEP: 8000 } */
  tiers?: Partial<Record<TimeoutTier, number>>
}

export type TimeoutResult =
  | {
      success: true
      data: ChatCompletion
      latencyMs: number
      timeoutTier: TimeoutTier
      modelUsed: string
      /** Whether a model other than the requested one answered. */
      fallbackTriggered: boolean
    }
  | {
      success: false
      error: string
      timeoutTier: TimeoutTier
      /** Whether another model was tried. */
      fallbackTriggered: boolean
      /** Set after a timeout. */
      suggestion?: string
      cause: Error
    }

export type TimeoutStats = { totalRequests: number; successRate: number; avgLatency: number } | { message: string }

/**
 * A time limit by kind of question: `faq` and `simple` FAST, `normal` NORMAL, `complex` and `analysis` DEEP, any other
 * NORMAL. Each model has that long for its whole answer; then `fallbackModels`, if given, are tried.
 */
export class TimeoutAIManager implements AsyncDisposable {
  constructor(apiKey?: string, options?: TimeoutManagerOptions)
  get apiKey(): string
  get baseUrl(): string
  callWithTimeout(
    messages: ChatRequest['messages'],
    queryType?: 'faq' | 'simple' | 'normal' | 'complex' | 'analysis' | (string & {}),
    model?: string,
    options?: CallOptions,
  ): Promise<TimeoutResult>
  /** `successRate` in percent, `avgLatency` of successes in milliseconds; `{ message }` before the first call. */
  getTimeoutStats(): TimeoutStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type QueryComplexity = 'simple' | 'moderate' | 'complex'

export interface ModelConfig {
  name: string
  /** USD per million tokens. */
  costPerMillionTokens: number
  avgLatencyMs?: number
  capability?: QueryComplexity
  /** Lower is stronger; models with a priority of 3 or more are used for simple questions. */
  priority: number
}

export type DegradationResult =
  | {
      success: true
      data: ChatCompletion
      modelUsed: string
      /** Whether a model other than the first candidate answered. */
      fallbackTriggered: boolean
      originalComplexity: QueryComplexity
      /** Of the attempt that succeeded. */
      latencyMs: number
    }
  | {
      success: false
      error: string
      /** The models that were tried. */
      candidatesTried: string[]
      cause: Error
    }

export interface DegradationStats {
  usageByModel: Record<string, number>
  /** Consecutive failures by model: 5 open its breaker. */
  circuitBreakers: Record<string, number>
  /** In milliseconds. */
  avgLatency: Record<string, number>
}

/**
 * Asks the model that suits the question, and the next ones if it fails. Complex: the chain in order; moderate: without
 * the weakest; simple: the cheap ones first, then the stronger. A breaker per model opens after 5 failures and probes
 * after 60 s.
 */
export class ModelDegradationManager implements AsyncDisposable {
  static readonly DEFAULT_MODEL_CHAIN: readonly ModelConfig[]
  /** @param options Client options; `classify` replaces the built-in classification. */
  constructor(
    apiKey?: string,
    modelChain?: readonly ModelConfig[] | null,
    options?: ClientOptions & { classify?: (messages: ChatRequest['messages']) => QueryComplexity },
  )
  get apiKey(): string
  get baseUrl(): string
  readonly modelChain: readonly ModelConfig[]
  /** @param preferredModel Tried first. */
  callWithDegradation(
    messages: ChatRequest['messages'],
    preferredModel?: string | null,
    options?: CallOptions,
  ): Promise<DegradationResult>
  /** The models for a question of this complexity, in the order in which they are tried. */
  candidates(complexity: QueryComplexity): string[]
  getDegradationStats(): DegradationStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
