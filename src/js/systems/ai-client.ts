/** `HolySheepAIClient` of document 004: the next endpoint answers where one cannot. */
import type { AIClientMetrics, AIClientOptions, ChatCompletion, ChatCompletionOptions } from '../../../index'
import { HolySheepError, lastError, RetriesExhaustedError } from '../errors'
import { attemptsOf, EVENTS, INTERNAL, numberIn, optionsObject, wholeMs } from '../options'
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

/** Defaults of this class only: nowhere else is a key sent to a backup host unasked. */
const ENDPOINTS = ['https://api.holysheep.ai/v1', 'https://backup1.holysheep.ai/v1', 'https://backup2.holysheep.ai/v1']
const MAX_ATTEMPTS = 3
const DEFAULTS = { retryDelay: 500, exponentialBackoff: 2, timeout: 30_000 }
const REQUEST = { temperature: 0.7, maxTokens: 1000 }
/** Waits that are written out; the last one repeats. */
const MAX_STEPS = 64

export class HolySheepAIClient extends Wrapper {
  /**
   * What the metrics do not tell: failures by status (they have codes, and a quota that is used up comes as a 429, a 402
   * or a 403), and each change of the endpoint (their fallbacks are the first tries of another one, or of a model).
   */
  readonly #counts = { errors429: 0, otherErrors: 0, fallbackCount: 0 }

  constructor(apiKey?: string, options?: AIClientOptions) {
    const given = { ...DEFAULTS, ...defined(optionsObject('options', options)) } as typeof DEFAULTS & AIClientOptions
    const { maxRetries, maxAttempts, retryDelay, exponentialBackoff, timeout, endpoints, healthCheck, ...rest } = given
    const attempts = attemptsOf({ maxRetries, maxAttempts }, MAX_ATTEMPTS)
    wholeMs('retryDelay', retryDelay)
    numberIn('exponentialBackoff', exponentialBackoff, 1, 100)
    wholeMs('timeout', timeout, 1)
    if (healthCheck !== undefined) wholeMs('healthCheck', healthCheck, 10)
    const plain = { delaysMs: [retryDelay] }
    const once = { ...plain, repeat: false }
    const growing = Array.from({ length: Math.min(attempts, MAX_STEPS) }, (_, n) =>
      Math.round(Math.min(retryDelay * exponentialBackoff ** (n + 1), 86_400_000)),
    )
    const retryOn = {
      400: 'never',
      401: 'never',
      403: 'never',
      408: plain,
      429: { delaysMs: growing },
      '4xx': once,
      '5xx': plain,
    }
    const retry = { backoff: 'constant', baseDelayMs: retryDelay, jitter: 'none', retryOn, ...rest.retry } as const
    const named = process.env.HOLYSHEEP_BASE_URL ? [process.env.HOLYSHEEP_BASE_URL] : ENDPOINTS
    const preset = {
      // The first attempt is one of them.
      maxRetries: attempts - 1,
      firstTokenTimeoutMs: timeout,
      idleTimeoutMs: timeout,
      connectTimeoutMs: timeout,
      rotateEndpoints: true,
      ...(healthCheck !== undefined && { healthCheckMs: healthCheck }),
    }
    const also = ['maxAttempts', 'retryDelay', 'exponentialBackoff', 'timeout', 'healthCheck']
    super(clientOf(apiKey, preset, { ...rest, retry, endpoints: endpoints ?? named }, also))
  }

  async chatCompletion(model: string, messages: Messages, options?: ChatCompletionOptions): Promise<ChatCompletion> {
    const given = { ...REQUEST, ...defined(optionsObject('options', options)) } as typeof REQUEST &
      ChatCompletionOptions
    const { temperature, maxTokens, ...call } = given
    const attempts: AttemptSummary[] = []
    const request = { model, messages, temperature, max_tokens: maxTokens }
    try {
      const heard = { [EVENTS]: recordAttempts(attempts), [INTERNAL]: { alsoAccepted: Object.keys(REQUEST) } }
      return await this.client.chat(request, { ...call, ...heard } as typeof call)
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

  /** By status, never by what a message says. */
  #count(attempts: AttemptSummary[]) {
    for (const [index, { error, endpoint }] of attempts.entries()) {
      if (index > 0 && endpoint !== attempts[index - 1]?.endpoint) this.#counts.fallbackCount++
      if (!error) continue
      if (error instanceof HolySheepError && error.status === 429) this.#counts.errors429++
      else this.#counts.otherErrors++
    }
  }
}
