/** The waits of a backoff, for what retries outside of the engine. */
import type { RetryOptions } from '../../../index'
import { invalid, native } from '../errors'
import { addon } from '../native'
import { encode, wholeMs } from '../options'

/** The tutorials' names for what the engine names differently. */
const NAMES = { baseDelayMs: 'baseDelay', maxDelayMs: 'maxDelay', minDelayMs: 'minDelay' } as const

/** No number of a retry is larger on the other side. */
const MAX_RETRY = 2 ** 32 - 1

/** The wait before retry number `retry`, counted from 0, in milliseconds; never above `maxDelayMs`. */
export function backoffDelay(form: RetryOptions, retry: number, previousMs?: number): number {
  for (const [name, theirs] of Object.entries(NAMES)) {
    const value = form[name as keyof typeof NAMES]
    if (value !== undefined) wholeMs(theirs, value)
  }
  const { minDelayMs = 0, maxDelayMs } = form
  if (maxDelayMs !== undefined && minDelayMs > maxDelayMs)
    throw invalid('minDelay', minDelayMs, `at most maxDelay, ${maxDelayMs} ms`)
  return native(() => addon.backoffDelay(encode(form), Math.min(retry, MAX_RETRY), previousMs))
}
