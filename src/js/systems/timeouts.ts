/** `createClientWithTimeout` of tutorial 004: a client with the timeouts of a task type. */
import type { ClientOptions } from '../../../index'
import type { HolySheepStreamingClient } from '../client'
import { invalid } from '../errors'
import { clientOf } from './shared'

/** The first-token and idle timeout, and the connect timeout, in milliseconds. */
const TIMEOUTS = { short: [10_000, 5000], medium: [30_000, 10_000], long: [60_000, 15_000] } as const

export function createClientWithTimeout(taskType = 'medium', options?: ClientOptions): HolySheepStreamingClient {
  if (typeof taskType !== 'string') throw invalid('taskType', taskType, "'short', 'medium', 'long'")
  const task = Object.hasOwn(TIMEOUTS, taskType) ? (taskType as keyof typeof TIMEOUTS) : 'medium'
  const [idleMs, connectMs] = TIMEOUTS[task]
  const limits = { connectTimeoutMs: connectMs, firstTokenTimeoutMs: idleMs, idleTimeoutMs: idleMs }
  return clientOf(undefined, { maxRetries: 2, ...limits }, options)
}
