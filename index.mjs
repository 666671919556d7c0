// ESM re-exports the CommonJS build, so that a class is one class.
import holysheep from './dist/index.js'

export const {
  APIError,
  AuthenticationError,
  ChatStream,
  CircuitBreaker,
  CircuitOpenError,
  ConnectionError,
  CostCapError,
  HolySheepError,
  HolySheepStreamingClient,
  MalformedResponseError,
  QueueFullError,
  RateLimitError,
  RateLimitedClient,
  RetriesExhaustedError,
  StreamInterruptedError,
  TimeoutError,
  catalogue,
  classifyComplexity,
  version,
} = holysheep
