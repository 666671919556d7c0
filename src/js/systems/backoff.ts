/** The waits of a backoff, for what retries outside of the engine. */
import type { RetryOptions } from '../../../index'
import { invalid, native } from '../errors'
import { addon } from '../native'
import { encode } from '../options'

/** The documents' names of what the engine calls otherwise. */
const NAMES = { baseDelayMs: 'baseDelay', maxDelayMs: 'maxDelay', minDelayMs: 'minDelay' } as const

/** The wait before retry number `retry`, counted from 0, in milliseconds; never above `maxDelayMs`. */
export function backoffDelay(form: RetryOptions, retry: number, previousMs?: number): number {
  for (const [name, theirs] of Object.entries(NAMES)) {
    const value = form[name as keyof typeof NAMES]
    if (value !== undefined && !(Number.isInteger(value) && value >= 0))
      throw invalid(theirs, value, 'whole milliseconds from 0')
  }
  return native(() => addon.backoffDelay(encode(form), retry, previousMs))
}
