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

import { addon } from './native'

export const version: string = addon.version()
