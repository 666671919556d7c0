/** `TimeoutAIManager` of tutorial 003: a timeout for each type of query. */
import type {
  CallOptions,
  ClientOptions,
  TimeoutManagerOptions,
  TimeoutResult,
  TimeoutStats,
  TimeoutTier,
} from '../../../index'
import { invalid, TimeoutError } from '../errors'
import { optionsObject } from '../options'
import { bare } from '../own'
import { clientOf, defined, Mean, type Messages, REQUEST_DEFAULTS, runChat, Wrapper } from './shared'

/** The timeout of a complete answer, in milliseconds. */
const TIERS: Record<TimeoutTier, number> = { FAST: 1000, NORMAL: 3000, DEEP: 8000 }
const CONNECT_MS = 500
const TIER_OF: Record<string, TimeoutTier> = {
  faq: 'FAST',
  simple: 'FAST',
  normal: 'NORMAL',
  complex: 'DEEP',
  analysis: 'DEEP',
}

export class TimeoutAIManager extends Wrapper {
  readonly #tiers: Record<TimeoutTier, number>
  readonly #latency = new Mean()

  constructor(apiKey?: string, options?: TimeoutManagerOptions) {
    const { tiers, ...rest } = optionsObject('options', options) as TimeoutManagerOptions
    const merged = bare({ ...TIERS, ...defined(optionsObject('tiers', tiers)) })
    for (const [name, ms] of Object.entries(merged)) {
      if (!(name in TIERS)) throw invalid(`tiers.${name}`, ms, Object.keys(TIERS).join(', '))
      if (!Number.isInteger(ms) || ms < 1) throw invalid(`tiers.${name}`, ms, 'whole milliseconds from 1')
    }
    const defaults: ClientOptions = { connectTimeoutMs: CONNECT_MS, maxRetries: 0 }
    super(clientOf(apiKey, defaults, rest, ['tiers']))
    this.#tiers = merged
  }

  async callWithTimeout(
    messages: Messages,
    queryType = 'normal',
    model = 'gpt-4.1',
    options?: CallOptions,
  ): Promise<TimeoutResult> {
    const timeoutTier = (Object.hasOwn(TIER_OF, queryType) && TIER_OF[queryType]) || 'NORMAL'
    const limit = this.#tiers[timeoutTier]
    const request = { ...REQUEST_DEFAULTS, model, messages }
    // No recovery, because a tier limits the time of the complete answer.
    const call = { attemptTimeoutMs: limit, recovery: false as const, ...optionsObject('options', options) }
    const { data, error, attempts, latencyMs } = await runChat(this.client, request, call)
    const modelUsed = attempts.at(-1)?.model ?? model
    const fallbackTriggered = modelUsed !== model
    if (data) {
      this.#latency.add(latencyMs)
      return { success: true, data, latencyMs, timeoutTier, modelUsed, fallbackTriggered }
    }
    const failed = { success: false as const, timeoutTier, fallbackTriggered, cause: error as Error }
    if (!(error instanceof TimeoutError)) return { ...failed, error: (error as Error).message }
    return {
      ...failed,
      error: `Timeout after ${(limit / 1000).toFixed(1)}s for ${queryType} query`,
      suggestion: 'Fall back to a faster model, or to a cache',
    }
  }

  getTimeoutStats(): TimeoutStats {
    const { successes, failures } = this.client.metrics()
    const totalRequests = successes + failures
    if (totalRequests === 0) return { message: 'No data yet' }
    return { totalRequests, successRate: (successes / totalRequests) * 100, avgLatency: this.#latency.value }
  }
}
