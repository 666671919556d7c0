/** What `require('holysheep')` gives; `index.mjs` and `index.d.ts` name the same. */
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
export { HolySheepAIClient } from './systems/ai-client'
export { batchProcess, batchStream } from './systems/batch'
export { handleConnectionReset } from './systems/connection-reset'
export { ModelDegradationManager } from './systems/degradation'
export { validateApiKey } from './systems/key'
export { BoundedRetryQueue } from './systems/queue'
export { ResilientStreamingClient } from './systems/resilient'
export { RetryAIManager, RetryableError, RetryConfig } from './systems/retry-ai-manager'
export { HolySheepRetryManager } from './systems/retry-manager'
export { retryWithBackoff } from './systems/retry-with-backoff'
export { MultiProviderRouter } from './systems/router'
export { streamWithTimeout } from './systems/stream-with-timeout'
export { TimeoutAIManager } from './systems/timeout-manager'
export { createClientWithTimeout } from './systems/timeouts'

import { addon } from './native'

export const version: string = addon.version()
