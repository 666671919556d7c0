/** `retryWithBackoff`: retries any function, as in tutorials 000 and 001. */
import type { Jitter, RetryWithBackoffOptions } from '../../../index'
import { HolySheepError, invalid, isRetryable, unknownOption } from '../errors'
import { retryAfterHeaders } from '../limiter'
import { addon } from '../native'
import { callback, notify, numberIn, splitSignal, wholeNumber } from '../options'
import { backoffDelay } from './backoff'
import { defined, pause } from './shared'

const DEFAULTS = {
  maxAttempts: 5,
  baseDelay: 1000,
  maxDelay: 60_000,
  multiplier: 2,
  backoff: 'exponential' as 'exponential' | 'linear' | 'constant' | number[],
  jitter: true as boolean | Jitter,
  minDelay: 0,
  maxRetryAfterMs: 60_000,
}
const ACCEPTED = [...Object.keys(DEFAULTS), 'retryable', 'onRetry', 'signal'].join(', ')

type ErrorClass = abstract new (...given: never[]) => unknown

export async function retryWithBackoff<T>(
  fn: (context: { attempt: number; signal?: AbortSignal }) => T | PromiseLike<T>,
  options?: RetryWithBackoffOptions,
): Promise<T> {
  if (typeof fn !== 'function') throw invalid('fn', fn, 'a function')
  const { signal, rest } = splitSignal(options)
  const { retryable, onRetry, ...numbers } = rest as RetryWithBackoffOptions
  for (const name of Object.keys(numbers)) if (!(name in DEFAULTS)) throw unknownOption(name, ACCEPTED)
  const told = callback('onRetry', onRetry)
  const again = judgement(retryable)
  const { maxAttempts, baseDelay, maxDelay, minDelay, jitter, backoff, multiplier, maxRetryAfterMs } = {
    ...DEFAULTS,
    ...defined(numbers),
  }
  wholeNumber('maxAttempts', maxAttempts, 1)
  numberIn('maxRetryAfterMs', maxRetryAfterMs, 0, Number.POSITIVE_INFINITY)
  if (typeof jitter !== 'string' && typeof jitter !== 'boolean')
    throw invalid('jitter', jitter, "true, false or one of 'none', 'full', 'equal', 'proportional', 'decorrelated'")
  const form = {
    backoff,
    multiplier,
    baseDelayMs: baseDelay,
    maxDelayMs: maxDelay,
    minDelayMs: minDelay,
    jitter: typeof jitter === 'string' ? jitter : jitter ? ('full' as const) : ('none' as const),
  }
  // Wrong options are told before the first attempt.
  backoffDelay(form, 0)
  let previous: number | undefined
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await fn({ attempt, ...(signal && { signal }) })
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      const asked = retryAfterOf(error)
      if (attempt >= maxAttempts || !again(error) || (asked ?? 0) > maxRetryAfterMs) throw error
      previous = backoffDelay(form, attempt - 1, previous)
      const delay = Math.max(previous, asked ?? 0)
      if (told) notify('onRetry', () => told(attempt, error, delay), undefined)
      await pause(delay, signal)
    }
  }
}

/** Which errors another attempt may mend. */
function judgement(retryable: RetryWithBackoffOptions['retryable']): (error: unknown) => boolean {
  if (retryable === undefined) return mends
  if (Array.isArray(retryable) && retryable.every((known) => typeof known === 'function')) {
    return (error) => retryable.some((known) => error instanceof (known as ErrorClass))
  }
  if (typeof retryable === 'function') return retryable as (error: unknown) => boolean
  throw invalid('retryable', retryable, 'an array of error classes, or a function of the error')
}

/** As the engine judges; and other packages' timeouts and broken connections, which have neither status nor code. */
function mends(error: unknown): boolean {
  if (isRetryable(error)) return true
  if (error instanceof HolySheepError || typeof error !== 'object' || error === null) return false
  const { name, status } = error as { name?: unknown; status?: unknown }
  if (status !== undefined) return false
  return [name, error.constructor?.name].some((called) =>
    ['TimeoutError', 'APIConnectionTimeoutError', 'APITimeoutError', 'APIConnectionError'].includes(String(called)),
  )
}

/** How long the server asks to wait, in milliseconds, wherever the error says it. */
function retryAfterOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { retryAfterMs, retryAfter, retry_after, headers, response } = error as Record<string, unknown>
  if (typeof retryAfterMs === 'number' && retryAfterMs >= 0) return retryAfterMs
  const own = retryAfter ?? retry_after
  if (own instanceof Date) return Math.max(0, own.getTime() - Date.now())
  const seconds = Number(own ?? Number.NaN)
  if (seconds >= 0) return seconds * 1000
  // A text that is no number is what the header said.
  const header = typeof own === 'string' ? { 'retry-after': own } : undefined
  const said = header ?? headers ?? (response as { headers?: unknown } | undefined)?.headers
  return addon.retryAfterMs(retryAfterHeaders(said as Parameters<typeof retryAfterHeaders>[0])) ?? undefined
}
