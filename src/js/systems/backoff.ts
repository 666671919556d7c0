/** Backoff delays for retries outside of the engine. */
import type { RetryOptions } from '../../../index'
import { invalid, native } from '../errors'
import { addon } from '../native'
import { encode, wholeMs } from '../options'

/** The tutorials' names of the engine's options. */
const TUTORIAL_NAMES = { baseDelayMs: 'baseDelay', maxDelayMs: 'maxDelay', minDelayMs: 'minDelay' } as const

/** The number of a retry is a `u32` in Rust. */
const MAX_RETRY = 2 ** 32 - 1

/** The delay before a retry, which is counted from 0, in milliseconds. At most `maxDelayMs`. */
export function backoffDelay(options: RetryOptions, retry: number, previousMs?: number): number {
  for (const [name, tutorialName] of Object.entries(TUTORIAL_NAMES)) {
    const value = options[name as keyof typeof TUTORIAL_NAMES]
    if (value !== undefined) wholeMs(tutorialName, value)
  }
  const { minDelayMs = 0, maxDelayMs } = options
  if (maxDelayMs !== undefined && minDelayMs > maxDelayMs)
    throw invalid('minDelay', minDelayMs, `at most maxDelay, ${maxDelayMs} ms`)
  return native(() => addon.backoffDelay(encode(options), Math.min(retry, MAX_RETRY), previousMs))
}
