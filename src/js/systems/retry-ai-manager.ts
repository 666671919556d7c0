/** `RetryAIManager` of tutorial 003: decides by status whether and when to retry. */
import type {
  CallOptions,
  ClientOptions,
  RetryConfigOptions,
  RetryDecisionTable,
  RetryResult,
  RetryStats,
  StatusDecision,
} from '../../../index'
import { brandErrors } from '../copies'
import { ConnectionError, HolySheepError, invalid, TimeoutError } from '../errors'
import { addon } from '../native'
import { checkKnownOptions, encode, numberIn, optionsObject, wholeMs, wholeNumber } from '../options'
import { bare } from '../own'
import { backoffDelay } from './backoff'
import {
  clientOf,
  DEFAULT_TIMEOUTS,
  defined,
  type Messages,
  percent,
  REQUEST_DEFAULTS,
  runChat,
  Wrapper,
} from './shared'

const DEFAULTS = { maxRetries: 3, baseDelay: 1000, maxDelay: 30_000, exponentialBase: 2, jitter: true }
/** The waits after a 429 are this many times longer: 5, 10, 20 s. */
const RATE_LIMIT_FACTOR = 5
/** The maximum length of a list of waits. The last wait repeats. */
const MAX_STEPS = 64

export class RetryConfig {
  readonly maxRetries: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly exponentialBase: number
  readonly jitter: boolean

  constructor(options?: RetryConfigOptions) {
    const merged = bare({ ...DEFAULTS, ...defined(optionsObject('options', options)) }) as typeof DEFAULTS
    checkKnownOptions(merged, Object.keys(DEFAULTS))
    this.maxRetries = wholeNumber('maxRetries', merged.maxRetries, 0)
    this.baseDelay = wholeMs('baseDelay', merged.baseDelay)
    this.maxDelay = wholeMs('maxDelay', merged.maxDelay)
    this.exponentialBase = numberIn('exponentialBase', merged.exponentialBase, 1, 100)
    if (typeof merged.jitter !== 'boolean') throw invalid('jitter', merged.jitter, 'true or false')
    this.jitter = merged.jitter
  }

  calculateDelay(attempt: number): number {
    wholeNumber('attempt', attempt, 0)
    const { baseDelay: baseDelayMs, maxDelay: maxDelayMs, exponentialBase: multiplier } = this
    const jitter = this.jitter ? 'proportional' : 'none'
    return backoffDelay({ backoff: 'exponential', baseDelayMs, maxDelayMs, multiplier, jitter }, attempt)
  }
}

/** An error with a retry decision. */
export class RetryableError extends HolySheepError {
  declare readonly statusCode: number
  declare readonly decision: StatusDecision

  constructor(statusCode: number, message: string, decision: StatusDecision) {
    super(`[${statusCode}] ${message}`)
    Object.assign(this, { code: 'RETRYABLE', statusCode, status: statusCode, decision })
  }
}
brandErrors({ RetryableError })
Object.defineProperty(RetryableError.prototype, 'name', { value: 'RetryableError', writable: true, configurable: true })

const DECISIONS: Record<number, StatusDecision> = {
  408: 'immediate',
  429: 'delayed',
  500: 'immediate',
  502: 'immediate',
  503: 'delayed',
  504: 'immediate',
  400: 'never',
  401: 'never',
  403: 'never',
  404: 'never',
  422: 'never',
}

export class RetryAIManager extends Wrapper {
  static readonly RETRY_STATUS_MAP: Readonly<Record<number, StatusDecision>> = Object.freeze({ ...DECISIONS })

  readonly config: RetryConfig
  /** The caller's table, which replaces that of the tutorial. */
  readonly #retryOn: RetryDecisionTable | undefined
  /** The waits before retries. The metrics' `waitMs` includes waits for the rate limit and in the queue. */
  #waitMs = 0

  constructor(apiKey?: string, config?: RetryConfig | RetryConfigOptions, options?: ClientOptions) {
    const retryConfig = config instanceof RetryConfig ? config : new RetryConfig(config)
    const clientOptions = optionsObject('options', options) as ClientOptions
    const retry = { ...retryOptionsOf(retryConfig), ...clientOptions.retry }
    super(clientOf(apiKey, { maxRetries: retryConfig.maxRetries, ...DEFAULT_TIMEOUTS }, { ...clientOptions, retry }))
    this.config = retryConfig
    this.#retryOn = clientOptions.retry?.retryOn
  }

  async callWithRetry(
    messages: Messages,
    model = 'gpt-4.1',
    fallbackModels?: readonly string[],
    options?: CallOptions,
  ): Promise<RetryResult> {
    const request = { ...REQUEST_DEFAULTS, model, messages }
    const call = { ...optionsObject('options', options), ...defined({ fallbackModels }) } as CallOptions
    const { data, error, attempts } = await runChat(this.client, request, call, (event) => {
      if (event.type === 'wait' && (event.reason === 'backoff' || event.reason === 'retry-after')) {
        this.#waitMs += event.ms
      }
    })
    if (data) return { success: true, data, modelUsed: attempts.at(-1)?.model ?? model }
    const cause = error as HolySheepError & Error
    return {
      success: false,
      ...(cause.status !== undefined && { statusCode: cause.status }),
      error: this.#message(cause, attempts.length, call.maxRetries ?? this.client.maxRetries),
      finalAttempt: attempts.length,
      retried: attempts.length > 1,
      cause,
    }
  }

  /** The decision for a status, even if the tutorial's table has no row for it. */
  classifyError(statusCode: number, message: string): RetryableError {
    const known = this.#retryOn ? undefined : DECISIONS[statusCode]
    return new RetryableError(statusCode, message, known ?? engineDecision(statusCode, this.#retryOn))
  }

  getRetryStats(): RetryStats {
    const { successes: successful, failures: failedPermanently, retries, fallbacks } = this.client.metrics()
    const totalRequests = successful + failedPermanently
    const retried = retries + fallbacks
    const totalRetryCost = this.#waitMs / 1000
    return {
      totalRequests,
      successful,
      retried,
      failedPermanently,
      totalRetryCost,
      retryRate: percent(retried, totalRequests, 1),
      successRate: percent(successful, totalRequests, 1),
      estimatedWaitTime: `${totalRetryCost.toFixed(1)}s`,
    }
  }

  #message(cause: HolySheepError & Error, attempts: number, maxRetries: number): string {
    // A wait that is too long, or an exhausted retry budget, ends the call earlier.
    if (attempts > maxRetries && this.client.isRetryable(cause)) return `Max retries (${maxRetries}) exceeded`
    return cause instanceof ConnectionError || cause instanceof TimeoutError
      ? `Network error: ${cause.message}`
      : cause.message
  }
}

/** The engine's decision for a status, in the tutorial's terms. */
function engineDecision(statusCode: number, table?: RetryDecisionTable): StatusDecision {
  const decision = JSON.parse(addon.decide(encode(table ?? null), String(statusCode)))
  if (decision === 'retry') return 'delayed'
  return decision === 'never' || decision === 'fallback' ? decision : 'immediate'
}

/** The tutorial's waits as options of the engine. */
function retryOptionsOf(config: RetryConfig) {
  const { baseDelay, maxDelay, exponentialBase, maxRetries, jitter } = config
  const steps = Math.min(Math.max(1, maxRetries), MAX_STEPS)
  const waits = (base: number) => ({
    delaysMs: Array.from({ length: steps }, (_, n) => Math.round(Math.min(base * exponentialBase ** n, maxDelay))),
  })
  const rows = Object.entries(DECISIONS).map(([status, decision]) => [
    status,
    decision === 'never' ? 'never' : decision === 'delayed' ? 'retry' : waits(baseDelay),
  ])
  return {
    backoff: 'exponential' as const,
    baseDelayMs: baseDelay,
    maxDelayMs: maxDelay,
    multiplier: exponentialBase,
    jitter: jitter ? ('proportional' as const) : ('none' as const),
    retryOn: { ...Object.fromEntries(rows), 429: waits(RATE_LIMIT_FACTOR * baseDelay) },
  }
}
