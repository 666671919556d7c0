/** `ModelDegradationManager` of document 003: the model that a question needs, and the next where it cannot answer. */
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
import { ask, clientOf, DEFAULT_TIMEOUTS, Mean, type Messages, REQUEST_DEFAULTS, Wrapper } from './shared'

const CHAIN: readonly ModelConfig[] = [
  { name: 'gpt-4.1', costPerMillionTokens: 8, avgLatencyMs: 800, capability: 'complex', priority: 1 },
  { name: 'claude-sonnet-4.5', costPerMillionTokens: 15, avgLatencyMs: 1200, capability: 'complex', priority: 2 },
  { name: 'gemini-2.5-flash', costPerMillionTokens: 2.5, avgLatencyMs: 400, capability: 'moderate', priority: 3 },
  { name: 'deepseek-v3.2', costPerMillionTokens: 0.42, avgLatencyMs: 200, capability: 'simple', priority: 4 },
]
/** Where the models begin that do for a simple question, and end those for a moderate one. */
const LIGHT_PRIORITY = 3
const BREAKER = { failureThreshold: 5, timeout: 60_000 }
/** Models that statistics are kept of. */
const MAX_MODELS = 1000

const COMPLEXITIES: readonly QueryComplexity[] = ['simple', 'moderate', 'complex']

function checkModel(path: string, model: ModelConfig) {
  if (typeof model !== 'object' || model === null) throw invalid(path, model, 'a model: { name, priority … }')
  nonEmpty(`${path}.name`, model.name, "a model's name")
  numberIn(`${path}.priority`, model.priority, 0)
  numberIn(`${path}.costPerMillionTokens`, model.costPerMillionTokens, 0)
  if (model.avgLatencyMs !== undefined) numberIn(`${path}.avgLatencyMs`, model.avgLatencyMs, 0)
  if (model.capability !== undefined) oneOf(`${path}.capability`, model.capability, COMPLEXITIES)
}

/** The service has answered: no breaker counts it. */
const isClientError = ({ status = 500 }: Error & { status?: number }) => status < 500 && status !== 408

/** What the metrics do not tell of a model. */
interface Counts {
  latency: Mean
  /** In a row. */
  failures: number
}

export class ModelDegradationManager extends Wrapper {
  static readonly DEFAULT_MODEL_CHAIN: readonly ModelConfig[] = Object.freeze(
    CHAIN.map((model) => Object.freeze({ ...model })),
  )

  readonly modelChain: readonly ModelConfig[]
  readonly #classify: (messages: Messages) => QueryComplexity
  readonly #models = new Map<string, Counts>()

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
    const judge = callback('classify', classify)
    super(clientOf(apiKey, { maxRetries: 0, circuitBreaker: BREAKER, ...DEFAULT_TIMEOUTS }, rest, ['classify']))
    this.modelChain = chain
    this.#classify = judge ?? classifyComplexity
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
    const { data, error, attempts, latencyMs } = await ask(this.client, request, call)
    for (const attempt of attempts) {
      if (attempt.error && !isClientError(attempt.error)) this.#of(attempt.model).failures += 1
    }
    const modelUsed = attempts.at(-1)?.model ?? first
    if (data) {
      const counts = this.#of(modelUsed)
      counts.latency.add(latencyMs)
      counts.failures = 0
      return { success: true, data, modelUsed, fallbackTriggered: modelUsed !== first, originalComplexity, latencyMs }
    }
    const candidatesTried = [...new Set(attempts.map(({ model }) => model))]
    const all = candidatesTried.length === fallbackModels.length + 1
    const cause = error as Error
    return { success: false, error: all ? 'All models in chain failed' : cause.message, candidatesTried, cause }
  }

  /** The models for a question of this complexity, best first. */
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

  #of(model: string): Counts {
    const known = this.#models.get(model)
    if (known) return known
    // Callers name models: the list must have an end.
    if (this.#models.size >= MAX_MODELS) this.#models.delete(this.#models.keys().next().value as string)
    const made = { latency: new Mean(), failures: 0 }
    this.#models.set(model, made)
    return made
  }
}
