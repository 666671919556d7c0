/** `createClientWithTimeout`: the timeouts by task of document 004. */
import type { ClientOptions } from '../../../index'
import type { HolySheepStreamingClient } from '../client'
import { invalid } from '../errors'
import { clientOf } from './shared'

/** Silence that is waited for, and the time for a connection, in milliseconds. */
const TIMEOUTS = { short: [10_000, 5000], medium: [30_000, 10_000], long: [60_000, 15_000] } as const

export function createClientWithTimeout(taskType = 'medium', options?: ClientOptions): HolySheepStreamingClient {
  if (typeof taskType !== 'string') throw invalid('taskType', taskType, "'short', 'medium', 'long'")
  const known = Object.hasOwn(TIMEOUTS, taskType) ? (taskType as keyof typeof TIMEOUTS) : 'medium'
  const [silence, connect] = TIMEOUTS[known]
  const limits = { connectTimeoutMs: connect, firstTokenTimeoutMs: silence, idleTimeoutMs: silence }
  return clientOf(undefined, { maxRetries: 2, ...limits }, options)
}
