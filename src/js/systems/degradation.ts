/** `ModelDegradationManager` of tutorial 003: chooses models by the complexity of the query, with fallbacks. */
import type {
  CallOptions,
  ClientOptions,
  DegradationResult,
  DegradationStats,
  ModelConfig,
  QueryComplexity,
} from '../../../index'
import { invalid } from '../errors'
import { classifyComplexity } from '../models'
import { callback, nonEmpty, numberIn, oneOf, optionsObject } from '../options'
import { clientOf, DEFAULT_TIMEOUTS, Mean, type Messages, REQUEST_DEFAULTS, runChat, Wrapper } from './shared'

const CHAIN: readonly ModelConfig[] = [
  { name: 'gpt-4.1', costPerMillionTokens: 8, avgLatencyMs: 800, capability: 'complex', priority: 1 },
  { name: 'claude-sonnet-4.5', costPerMillionTokens: 15, avgLatencyMs: 1200, capability: 'complex', priority: 2 },
  { name: 'gemini-2.5-flash', costPerMillionTokens: 2.5, avgLatencyMs: 400, capability: 'moderate', priority: 3 },
  { name: 'deepseek-v3.2', costPerMillionTokens: 0.42, avgLatencyMs: 200, capability: 'simple', priority: 4 },
]
/** The lowest priority value for simple queries, and the highest for moderate ones. */
const LIGHT_PRIORITY = 3
const BREAKER = { failureThreshold: 5, timeout: 60_000 }
/** The maximum number of models with statistics. */
const MAX_MODELS = 1000

const COMPLEXITIES: readonly QueryComplexity[] = ['simple', 'moderate', 'complex']

/** Statistics of a model that the metrics lack. */
interface ModelStats {
  latency: Mean
  /** Consecutive failures. */
  failures: number
}

export class ModelDegradationManager extends Wrapper {
  static readonly DEFAULT_MODEL_CHAIN: readonly ModelConfig[] = Object.freeze(
    CHAIN.map((model) => Object.freeze({ ...model })),
  )

  readonly modelChain: readonly ModelConfig[]
  readonly #classify: (messages: Messages) => QueryComplexity
  readonly #models = new Map<string, ModelStats>()

  constructor(
    apiKey?: string,
    modelChain?: readonly ModelConfig[] | null,
    options?: ClientOptions & { classify?: (messages: Messages) => QueryComplexity },
  ) {
    const { classify, ...rest } = optionsObject('options', options) as NonNullable<typeof options>
    const chain = modelChain ?? ModelDegradationManager.DEFAULT_MODEL_CHAIN
    if (!Array.isArray(chain) || chain.length === 0) {
      throw invalid('modelChain', modelChain, 'an array of models, at least one')
    }
    for (const [at, model] of chain.entries()) checkModel(`modelChain[${at}]`, model)
    const custom = callback('classify', classify)
    super(clientOf(apiKey, { maxRetries: 0, circuitBreaker: BREAKER, ...DEFAULT_TIMEOUTS }, rest, ['classify']))
    this.modelChain = chain
    this.#classify = custom ?? classifyComplexity
  }

  async callWithDegradation(
    messages: Messages,
    preferredModel?: string | null,
    options?: CallOptions,
  ): Promise<DegradationResult> {
    const originalComplexity = oneOf('classify()', this.#classify(messages), COMPLEXITIES)
    const candidates = this.candidates(originalComplexity)
    if (preferredModel) candidates.unshift(nonEmpty('preferredModel', preferredModel, "a model's name"))
    const [first, ...fallbackModels] = [...new Set(candidates)] as [string, ...string[]]
    const request = { ...REQUEST_DEFAULTS, model: first, messages }
    const call = { ...optionsObject('options', options), fallbackModels } as CallOptions
    const { data, error, attempts, latencyMs } = await runChat(this.client, request, call)
    for (const attempt of attempts) {
      if (attempt.error && !isClientError(attempt.error)) this.#statsOf(attempt.model).failures += 1
    }
    const modelUsed = attempts.at(-1)?.model ?? first
    if (data) {
      const stats = this.#statsOf(modelUsed)
      stats.latency.add(latencyMs)
      stats.failures = 0
      return { success: true, data, modelUsed, fallbackTriggered: modelUsed !== first, originalComplexity, latencyMs }
    }
    const candidatesTried = [...new Set(attempts.map(({ model }) => model))]
    const triedAll = candidatesTried.length === fallbackModels.length + 1
    const cause = error as Error
    return { success: false, error: triedAll ? 'All models in chain failed' : cause.message, candidatesTried, cause }
  }

  /** The models for a query of this complexity, best first. */
  candidates(complexity: QueryComplexity): string[] {
    oneOf('complexity', complexity, COMPLEXITIES)
    const names = (models: readonly ModelConfig[]) => models.map(({ name }) => name)
    if (complexity === 'complex') return names(this.modelChain)
    if (complexity === 'moderate') {
      const strong = this.modelChain.filter(({ priority }) => priority <= LIGHT_PRIORITY)
      return names(strong.length > 0 ? strong : this.modelChain)
    }
    const price = (a: ModelConfig, b: ModelConfig) => a.costPerMillionTokens - b.costPerMillionTokens
    const light = this.modelChain.filter(({ priority }) => priority >= LIGHT_PRIORITY).sort(price)
    const strong = this.modelChain.filter(({ priority }) => priority < LIGHT_PRIORITY).sort(price)
    return names([...light, ...strong])
  }

  getDegradationStats(): DegradationStats {
    const stats: DegradationStats = { usageByModel: {}, circuitBreakers: {}, avgLatency: {} }
    for (const { model, durationMs, failures } of this.client.metrics().routes) {
      const answers = durationMs.count - failures
      if (answers > 0) stats.usageByModel[model] = (stats.usageByModel[model] ?? 0) + answers
    }
    for (const [model, { latency, failures }] of this.#models) {
      stats.circuitBreakers[model] = failures
      if (latency.value > 0) stats.avgLatency[model] = latency.value
    }
    return stats
  }

  #statsOf(model: string): ModelStats {
    const known = this.#models.get(model)
    if (known) return known
    // Callers choose the names of models, so the map must be bounded.
    if (this.#models.size >= MAX_MODELS) this.#models.delete(this.#models.keys().next().value as string)
    const stats = { latency: new Mean(), failures: 0 }
    this.#models.set(model, stats)
    return stats
  }
}

function checkModel(path: string, model: ModelConfig) {
  if (typeof model !== 'object' || model === null) throw invalid(path, model, 'a model: { name, priority … }')
  nonEmpty(`${path}.name`, model.name, "a model's name")
  numberIn(`${path}.priority`, model.priority, 0)
  numberIn(`${path}.costPerMillionTokens`, model.costPerMillionTokens, 0)
  if (model.avgLatencyMs !== undefined) numberIn(`${path}.avgLatencyMs`, model.avgLatencyMs, 0)
  if (model.capability !== undefined) oneOf(`${path}.capability`, model.capability, COMPLEXITIES)
}

/** Whether the service has answered, so that breakers do not count the error. */
const isClientError = ({ status = 500 }: Error & { status?: number }) => status < 500 && status !== 408
