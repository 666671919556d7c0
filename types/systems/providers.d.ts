/// <reference lib="esnext.disposable" />
/** Endpoints and providers. */
import type { CallOptions } from '../call-options.js'
import type { ChatCompletion, ChatRequest } from '../chat.js'
import type { ClientOptions } from '../client-options.js'
import type { CircuitBreaker } from '../limits.js'

export interface AIClientOptions extends ClientOptions {
  /** Attempts, the first one included. @default 3 */
  maxAttempts?: number
  /** The HolySheep tutorials' name for `maxAttempts`. Giving both is an error. */
  maxRetries?: number
  /** The wait before the next endpoint, in milliseconds. @default 500 */
  retryDelay?: number
  /** After a 429 the n-th wait is `retryDelay` times the n-th power of this. @default 2 */
  exponentialBackoff?: number
  /** Timeout for the connection, the first token and silence between two reads, in milliseconds. @default 30000 */
  timeout?: number
  /** How often the endpoints are probed in the background, in milliseconds. Off by default. */
  healthCheck?: number
}

export interface ChatCompletionOptions extends CallOptions {
  /** @default 0.7 */
  temperature?: number
  /** @default 1000 */
  maxTokens?: number
}

export interface AIClientMetrics {
  totalRequests: number
  successfulRequests: number
  /** Attempts that got a 429. */
  errors429: number
  /** Attempts that failed with another error. */
  otherErrors: number
  /** Attempts at a different endpoint than the previous one. */
  fallbackCount: number
  /** `'NN.NN%'` */
  successRate: string
}

/**
 * Fails over to the next endpoint after a 429, a timeout, a connection error or a 5xx; 400, 401 and 403 are thrown
 * immediately, and any other 4xx is retried once. After an exhausted quota (402, or the provider's own code) only an
 * endpoint with another key is tried. Every call starts at the first endpoint whose breaker is closed. `endpoints` defaults
 * to `HOLYSHEEP_BASE_URL` if set, otherwise to the provider's address and its two backups.
 */
export class HolySheepAIClient implements AsyncDisposable {
  constructor(apiKey?: string, options?: AIClientOptions)
  get apiKey(): string
  /** The first endpoint's. */
  get baseUrl(): string
  /** @throws RetriesExhaustedError, whose `cause` is the last error; with a single attempt, its error. */
  chatCompletion(
    model: string,
    messages: ChatRequest['messages'],
    options?: ChatCompletionOptions,
  ): Promise<ChatCompletion>
  getMetrics(): AIClientMetrics
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type RouterEndpointName = 'primary' | 'backup1' | 'backup2' | 'unknown' | (string & {})

export interface RouterOptions {
  /** Names and base URLs, the primary first. The provider's address and its two backups by default. */
  endpoints?: Record<string, string>
}

/**
 * Selects an endpoint by 0.7 × health + 0.3 × latency score; the latter is 100 for the fastest and inversely proportional
 * to latency. Breakers: primary 3 failures, 30 s; the others 5, 60 s; each closes after 3 successes.
 */
export class MultiProviderRouter {
  constructor(options?: RouterOptions)
  readonly endpoints: Readonly<Record<string, string>>
  readonly breakers: Readonly<Record<string, CircuitBreaker>>
  /** The base URL of the best available endpoint, or the primary's if none is. Only the selected one uses up a probe. */
  selectEndpoint(): string
  /** The name of the endpoint of a URL, or `'unknown'`. */
  getEndpointName(url: string): RouterEndpointName
  /** The last 100 count. Unknown names are ignored, here and below. */
  recordLatency(name: RouterEndpointName, ms: number): void
  recordSuccess(name: RouterEndpointName): void
  recordFailure(name: RouterEndpointName): void
}
