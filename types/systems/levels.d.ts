/// <reference lib="esnext.disposable" />
/** Service levels. */
import type { CallOptions } from '../call-options.js'
import type { ChatCompletion, ChatRequest } from '../chat.js'
import type { ClientOptions } from '../client-options.js'

export type TimeoutTier = 'FAST' | 'NORMAL' | 'DEEP'

export interface TimeoutManagerOptions extends ClientOptions {
  /** How long an answer may take, in milliseconds. FAST 1000, NORMAL 3000, DEEP 8000 unless set. */
  tiers?: Partial<Record<TimeoutTier, number>>
}

export type TimeoutResult =
  | {
      success: true
      data: ChatCompletion
      latencyMs: number
      timeoutTier: TimeoutTier
      modelUsed: string
      /** Another model than the one that was asked has answered. */
      fallbackTriggered: boolean
    }
  | {
      success: false
      error: string
      timeoutTier: TimeoutTier
      /** Another model was really tried. */
      fallbackTriggered: boolean
      /** After a timeout. */
      suggestion?: string
      cause: Error
    }

export type TimeoutStats = { totalRequests: number; successRate: number; avgLatency: number } | { message: string }

/**
 * A time for each kind of question: `faq` and `simple` FAST, `normal` NORMAL, `complex` and `analysis` DEEP, any other
 * NORMAL. Each model has that time for its whole answer; `fallbackModels`, where given, follow.
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
  /** `successRate` in per cent, `avgLatency` of successes in milliseconds; `{ message }` before the first call. */
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
  /** The smaller, the stronger the model; from 3 on it does for simple questions. */
  priority: number
}

export type DegradationResult =
  | {
      success: true
      data: ChatCompletion
      modelUsed: string
      /** A model other than the first candidate has answered. */
      fallbackTriggered: boolean
      originalComplexity: QueryComplexity
      /** Of the attempt that brought the answer. */
      latencyMs: number
    }
  | {
      success: false
      error: string
      /** The models that were really asked. */
      candidatesTried: string[]
      cause: Error
    }

export interface DegradationStats {
  usageByModel: Record<string, number>
  /** Failures in a row, by model: 5 open its breaker. */
  circuitBreakers: Record<string, number>
  /** In milliseconds. */
  avgLatency: Record<string, number>
}

/**
 * Asks the model that a question needs, and the next ones where it cannot answer. Complex: the chain in its order;
 * moderate: without the weakest; simple: the cheap ones first, then the stronger. A breaker for each model
 * (5 failures, then tried again after 60 s).
 */
export class ModelDegradationManager implements AsyncDisposable {
  static readonly DEFAULT_MODEL_CHAIN: readonly ModelConfig[]
  /** @param options A client's; `classify` in place of the document's rules. */
  constructor(
    apiKey?: string,
    modelChain?: readonly ModelConfig[] | null,
    options?: ClientOptions & { classify?: (messages: ChatRequest['messages']) => QueryComplexity },
  )
  get apiKey(): string
  get baseUrl(): string
  readonly modelChain: readonly ModelConfig[]
  /** @param preferredModel Asked first. */
  callWithDegradation(
    messages: ChatRequest['messages'],
    preferredModel?: string | null,
    options?: CallOptions,
  ): Promise<DegradationResult>
  /** The models for a question of this complexity, best first. */
  candidates(complexity: QueryComplexity): string[]
  getDegradationStats(): DegradationStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
