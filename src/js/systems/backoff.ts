/** The waits of a backoff, for what retries outside of the engine. */
import type { Jitter } from '../../../index'
import { invalid } from '../errors'

export interface Form {
  backoff: 'exponential' | 'linear' | 'constant' | number[]
  baseDelayMs: number
  maxDelayMs: number
  minDelayMs?: number
  multiplier: number
  jitter: Jitter
}

/** The wait before retry number `retry`, counted from 0, in milliseconds; never above `maxDelayMs`. */
export function backoffDelay(form: Form, retry: number, previousMs?: number): number {
  const { backoff, baseDelayMs: base, maxDelayMs: max, minDelayMs: min = 0, multiplier, jitter } = form
  for (const [name, value] of Object.entries({ baseDelay: base, maxDelay: max, minDelay: min })) {
    if (typeof value !== 'number' || !(value >= 0)) throw invalid(name, value, 'milliseconds from 0')
  }
  const plain = Array.isArray(backoff)
    ? (backoff[Math.min(retry, backoff.length - 1)] ?? 0)
    : { exponential: base * multiplier ** retry, linear: base * (retry + 1), constant: base }[backoff]
  if (plain === undefined) throw invalid('backoff', backoff, "'exponential', 'linear', 'constant' or milliseconds")
  const delay = Math.min(plain, max)
  const widest = Math.max(base, 3 * (previousMs ?? base))
  const ranges = {
    none: [delay, delay],
    full: [0, delay],
    equal: [delay / 2, delay],
    proportional: [delay / 2, delay * 1.5],
    decorrelated: [base, widest],
  } as const
  const range = ranges[jitter]
  if (range === undefined) throw invalid('jitter', jitter, Object.keys(ranges).join(', '))
  const [from, to] = range
  return Math.min(Math.max(from + (to - from) * Math.random(), min), max)
}
