/** `retryWithBackoff`: retries any function, as in tutorials 000 and 001. */
import type { Jitter, RetryWithBackoffOptions } from '../../../index'
import { HolySheepError, invalid, isRetryable, unknownOption } from '../errors'
import { retryAfterHeaders } from '../limiter'
import { addon } from '../native'
import { callback, notify, numberIn, splitSignal, wholeNumber } from '../options'
import { fakeableWait, type Wait } from '../sleep'
import { backoffDelay } from './backoff'
import { defined } from './shared'

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

type ErrorClass = abstract new (...args: never[]) => unknown

type Run<T> = (context: { attempt: number; signal?: AbortSignal }) => T | PromiseLike<T>

export async function retryWithBackoff<T>(fn: Run<T>, options?: RetryWithBackoffOptions): Promise<T> {
  return retry(fn, options, fakeableWait)
}

/** `retryWithBackoff` with another wait. */
export async function retry<T>(fn: Run<T>, options: RetryWithBackoffOptions | undefined, wait: Wait): Promise<T> {
  if (typeof fn !== 'function') throw invalid('fn', fn, 'a function')
  const { signal, rest } = splitSignal(options)
  const { retryable, onRetry, ...numbers } = rest as RetryWithBackoffOptions
  for (const name of Object.keys(numbers)) if (!(name in DEFAULTS)) throw unknownOption(name, ACCEPTED)
  const retryCallback = callback('onRetry', onRetry)
  const shouldRetry = retryPredicate(retryable)
  const { maxAttempts, baseDelay, maxDelay, minDelay, jitter, backoff, multiplier, maxRetryAfterMs } = {
    ...DEFAULTS,
    ...defined(numbers),
  }
  wholeNumber('maxAttempts', maxAttempts, 1)
  numberIn('maxRetryAfterMs', maxRetryAfterMs, 0, Number.POSITIVE_INFINITY)
  if (typeof jitter !== 'string' && typeof jitter !== 'boolean')
    throw invalid('jitter', jitter, "true, false or one of 'none', 'full', 'equal', 'proportional', 'decorrelated'")
  const backoffOptions = {
    backoff,
    multiplier,
    baseDelayMs: baseDelay,
    maxDelayMs: maxDelay,
    minDelayMs: minDelay,
    jitter: typeof jitter === 'string' ? jitter : jitter ? ('full' as const) : ('none' as const),
  }
  // Throws for invalid options before the first attempt.
  backoffDelay(backoffOptions, 0)
  let previous: number | undefined
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await fn({ attempt, ...(signal && { signal }) })
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      const retryAfterMs = retryAfterOf(error)
      if (attempt >= maxAttempts || !shouldRetry(error) || (retryAfterMs ?? 0) > maxRetryAfterMs) throw error
      previous = backoffDelay(backoffOptions, attempt - 1, previous)
      const delay = Math.max(previous, retryAfterMs ?? 0)
      if (retryCallback) notify('onRetry', () => retryCallback(attempt, error, delay), undefined)
      await wait(delay, signal)
    }
  }
}

/** The predicate for errors to retry. */
function retryPredicate(retryable: RetryWithBackoffOptions['retryable']): (error: unknown) => boolean {
  if (retryable === undefined) return isRetryableByDefault
  if (Array.isArray(retryable) && retryable.every((known) => typeof known === 'function')) {
    return (error) => retryable.some((known) => error instanceof (known as ErrorClass))
  }
  if (typeof retryable === 'function') return retryable as (error: unknown) => boolean
  throw invalid('retryable', retryable, 'an array of error classes, or a function of the error')
}

/** The engine's rule, and timeouts and connection errors of SDKs, which have neither status nor code. */
function isRetryableByDefault(error: unknown): boolean {
  if (isRetryable(error)) return true
  if (error instanceof HolySheepError || typeof error !== 'object' || error === null) return false
  const { name, status } = error as { name?: unknown; status?: unknown }
  if (status !== undefined) return false
  return [name, error.constructor?.name].some((className) =>
    ['TimeoutError', 'APIConnectionTimeoutError', 'APITimeoutError', 'APIConnectionError'].includes(String(className)),
  )
}

/** The `Retry-After` of an error in milliseconds, from any of the fields that may have it. */
function retryAfterOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { retryAfterMs, retryAfter, retry_after, headers, response } = error as Record<string, unknown>
  if (typeof retryAfterMs === 'number' && retryAfterMs >= 0) return retryAfterMs
  const value = retryAfter ?? retry_after
  if (value instanceof Date) return Math.max(0, value.getTime() - Date.now())
  const seconds = Number(value ?? Number.NaN)
  if (seconds >= 0) return seconds * 1000
  // A string that is not a number is the value of the header.
  const header = typeof value === 'string' ? { 'retry-after': value } : undefined
  const source = header ?? headers ?? (response as { headers?: unknown } | undefined)?.headers
  return addon.retryAfterMs(retryAfterHeaders(source as Parameters<typeof retryAfterHeaders>[0])) ?? undefined
}
