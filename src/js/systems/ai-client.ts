/** `HolySheepAIClient` of tutorial 004: fails over to the next endpoint. */
import type { AIClientMetrics, AIClientOptions, ChatCompletion, ChatCompletionOptions } from '../../../index'
import { HolySheepError, lastError, RetriesExhaustedError } from '../errors'
import { attemptsOf, EVENTS, INTERNAL, numberIn, optionsObject, wholeMs } from '../options'
import { bare, environment } from '../own'
import {
  type AttemptSummary,
  clientOf,
  defined,
  type Messages,
  percent,
  recordAttempts,
  rephrase,
  Wrapper,
} from './shared'

/** The defaults of this class only. No other class sends a key to a backup host by default. */
const ENDPOINTS = ['https://api.holysheep.ai/v1', 'https://backup1.holysheep.ai/v1', 'https://backup2.holysheep.ai/v1']
const MAX_ATTEMPTS = 3
const DEFAULTS = { retryDelay: 500, exponentialBackoff: 2, timeout: 30_000 }
const REQUEST_DEFAULTS = { temperature: 0.7, maxTokens: 1000 }
/** The maximum length of a list of waits. The last wait repeats. */
const MAX_STEPS = 64

export class HolySheepAIClient extends Wrapper {
  /**
   * Not in the metrics, which count failures by code (an exhausted quota may be a 429, a 402 or a 403), and fallbacks also
   * between models, but not back to an endpoint.
   */
  readonly #counts = { errors429: 0, otherErrors: 0, fallbackCount: 0 }

  constructor(apiKey?: string, options?: AIClientOptions) {
    const merged = bare({ ...DEFAULTS, ...defined(optionsObject('options', options)) }) as typeof DEFAULTS &
      AIClientOptions
    const { maxRetries, maxAttempts, retryDelay, exponentialBackoff, timeout, endpoints, healthCheck, ...others } =
      merged
    const rest = bare(others)
    const attempts = attemptsOf({ maxRetries, maxAttempts }, MAX_ATTEMPTS)
    wholeMs('retryDelay', retryDelay)
    numberIn('exponentialBackoff', exponentialBackoff, 1, 100)
    wholeMs('timeout', timeout, 1)
    if (healthCheck !== undefined) wholeMs('healthCheck', healthCheck, 10)
    const constant = { delaysMs: [retryDelay] }
    const once = { ...constant, repeat: false }
    const growing = Array.from({ length: Math.min(attempts, MAX_STEPS) }, (_, n) =>
      Math.round(Math.min(retryDelay * exponentialBackoff ** (n + 1), 86_400_000)),
    )
    const retryOn = {
      400: 'never',
      401: 'never',
      403: 'never',
      408: constant,
      429: { delaysMs: growing },
      '4xx': once,
      '5xx': constant,
    }
    const retry = { backoff: 'constant', baseDelayMs: retryDelay, jitter: 'none', retryOn, ...rest.retry } as const
    const configured = environment('HOLYSHEEP_BASE_URL')
    const defaultEndpoints = configured ? [configured] : ENDPOINTS
    const defaults = {
      // The tutorial's `maxRetries` includes the first attempt.
      maxRetries: attempts - 1,
      firstTokenTimeoutMs: timeout,
      idleTimeoutMs: timeout,
      connectTimeoutMs: timeout,
      rotateEndpoints: true,
      ...(healthCheck !== undefined && { healthCheckMs: healthCheck }),
    }
    const alsoAccepted = ['maxAttempts', 'retryDelay', 'exponentialBackoff', 'timeout', 'healthCheck']
    super(clientOf(apiKey, defaults, { ...rest, retry, endpoints: endpoints ?? defaultEndpoints }, alsoAccepted))
  }

  async chatCompletion(model: string, messages: Messages, options?: ChatCompletionOptions): Promise<ChatCompletion> {
    const merged = bare({
      ...REQUEST_DEFAULTS,
      ...defined(optionsObject('options', options)),
    }) as typeof REQUEST_DEFAULTS & ChatCompletionOptions
    const { temperature, maxTokens, ...call } = merged
    const attempts: AttemptSummary[] = []
    const request = { model, messages, temperature, max_tokens: maxTokens }
    try {
      const internal = { alsoAccepted: Object.keys(REQUEST_DEFAULTS), mirrored: true }
      const extra = { [EVENTS]: recordAttempts(attempts), [INTERNAL]: internal }
      return await this.client.chat(request, { ...call, ...extra } as typeof call)
    } catch (thrown) {
      if (!(thrown instanceof RetriesExhaustedError)) throw thrown
      const last = lastError(thrown) as HolySheepError & Error
      const message = `All endpoints failed after ${thrown.attempts.length} attempts. Last error: ${last.message}`
      throw rephrase(thrown, message, last)
    } finally {
      this.#count(attempts)
    }
  }

  getMetrics(): AIClientMetrics {
    const { calls: totalRequests, successes: successfulRequests } = this.client.metrics()
    return {
      totalRequests,
      successfulRequests,
      ...this.#counts,
      successRate: percent(successfulRequests, totalRequests, 2),
    }
  }

  /** Counts failures by status, not by their message. */
  #count(attempts: AttemptSummary[]) {
    for (const [index, { error, endpoint }] of attempts.entries()) {
      if (index > 0 && endpoint !== attempts[index - 1]?.endpoint) this.#counts.fallbackCount++
      if (!error) continue
      if (error instanceof HolySheepError && error.status === 429) this.#counts.errors429++
      else this.#counts.otherErrors++
    }
  }
}
