/** The exports of `require('holysheep')`. `index.mjs` and `index.d.ts` list the same names. */
export { CircuitBreaker } from './breaker'
export { HolySheepStreamingClient } from './client'
export {
  APIError,
  AuthenticationError,
  CircuitOpenError,
  ConnectionError,
  CostCapError,
  HolySheepError,
  MalformedResponseError,
  QueueFullError,
  RateLimitError,
  RetriesExhaustedError,
  StreamInterruptedError,
  TimeoutError,
} from './errors'
export { RateLimitedClient } from './limiter'
export { catalogue, classifyComplexity } from './models'
export { ChatStream } from './stream'

import { addon } from './native'

export const version: string = addon.version()

/** The wrappers of the HolySheep tutorials, each loaded on first use. */
const SYSTEMS: [names: string[], load: () => Record<string, unknown>][] = [
  [['HolySheepAIClient'], () => require('./systems/ai-client')],
  [['batchProcess', 'batchStream'], () => require('./systems/batch')],
  [['handleConnectionReset'], () => require('./systems/connection-reset')],
  [['ModelDegradationManager'], () => require('./systems/degradation')],
  [['validateApiKey'], () => require('./systems/key')],
  [['BoundedRetryQueue'], () => require('./systems/queue')],
  [['ResilientStreamingClient'], () => require('./systems/resilient')],
  [['RetryAIManager', 'RetryableError', 'RetryConfig'], () => require('./systems/retry-ai-manager')],
  [['HolySheepRetryManager'], () => require('./systems/retry-manager')],
  [['retryWithBackoff'], () => require('./systems/retry-with-backoff')],
  [['MultiProviderRouter'], () => require('./systems/router')],
  [['streamWithTimeout'], () => require('./systems/stream-with-timeout')],
  [['TimeoutAIManager'], () => require('./systems/timeout-manager')],
  [['createClientWithTimeout'], () => require('./systems/timeouts')],
]
export declare const HolySheepAIClient: typeof import('./systems/ai-client').HolySheepAIClient
export declare const batchProcess: typeof import('./systems/batch').batchProcess
export declare const batchStream: typeof import('./systems/batch').batchStream
export declare const handleConnectionReset: typeof import('./systems/connection-reset').handleConnectionReset
export declare const ModelDegradationManager: typeof import('./systems/degradation').ModelDegradationManager
export declare const validateApiKey: typeof import('./systems/key').validateApiKey
export declare const BoundedRetryQueue: typeof import('./systems/queue').BoundedRetryQueue
export declare const ResilientStreamingClient: typeof import('./systems/resilient').ResilientStreamingClient
export declare const RetryAIManager: typeof import('./systems/retry-ai-manager').RetryAIManager
export declare const RetryableError: typeof import('./systems/retry-ai-manager').RetryableError
export declare const RetryConfig: typeof import('./systems/retry-ai-manager').RetryConfig
export declare const HolySheepRetryManager: typeof import('./systems/retry-manager').HolySheepRetryManager
export declare const retryWithBackoff: typeof import('./systems/retry-with-backoff').retryWithBackoff
export declare const MultiProviderRouter: typeof import('./systems/router').MultiProviderRouter
export declare const streamWithTimeout: typeof import('./systems/stream-with-timeout').streamWithTimeout
export declare const TimeoutAIManager: typeof import('./systems/timeout-manager').TimeoutAIManager
export declare const createClientWithTimeout: typeof import('./systems/timeouts').createClientWithTimeout
for (const [names, load] of SYSTEMS) {
  for (const name of names) Object.defineProperty(exports, name, { enumerable: true, get: () => load()[name] })
}
