/// <reference lib="esnext.disposable" />
/** Endpoints and providers. */
import type { CallOptions } from '../call-options.js'
import type { ChatCompletion, ChatRequest } from '../chat.js'
import type { ClientOptions } from '../client-options.js'
import type { CircuitBreaker } from '../limits.js'

export interface AIClientOptions extends ClientOptions {
  /** Attempts in all. 3 unless set. */
  maxRetries?: number
  /** The wait before the next endpoint, in milliseconds. 500 unless set. */
  retryDelay?: number
  /** After a 429 the n-th wait is `retryDelay` times its n-th power. 2 unless set. */
  exponentialBackoff?: number
  /** The silence that is waited for, in milliseconds. 30000 unless set. */
  timeout?: number
  /** How often endpoints are looked at in the background, in milliseconds. Off unless set. */
  healthCheck?: number
}

export interface ChatCompletionOptions extends CallOptions {
  /** 0.7 unless set. */
  temperature?: number
  /** 1000 unless set. */
  maxTokens?: number
}

export interface AIClientMetrics {
  totalRequests: number
  successfulRequests: number
  /** Attempts that got a 429. */
  errors429: number
  /** Attempts that failed otherwise. */
  otherErrors: number
  /** Attempts at another endpoint than the one before. */
  fallbackCount: number
  /** `'NN.NN%'` */
  successRate: string
}

/**
 * Goes to the next endpoint after a 429, a timeout, a broken connection or a 5xx; 400, 401 and 403 are thrown at once, and
 * any other 4xx is tried once more. A key without quota (402, or as the provider says it) goes on only to another key.
 * Every call begins at the first endpoint whose breaker is closed. Without `endpoints`: `HOLYSHEEP_BASE_URL` where it is
 * set, else the provider's address and its two backups.
 */
export class HolySheepAIClient implements AsyncDisposable {
  constructor(apiKey?: string, options?: AIClientOptions)
  get apiKey(): string
  /** Of the first endpoint. */
  get baseUrl(): string
  /** @throws RetriesExhaustedError, whose `cause` is the last error; or what the only attempt failed with. */
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
  /** Names and base URLs, the primary first. The provider's address and its two backups unless set. */
  endpoints?: Record<string, string>
}

/**
 * Chooses among endpoints by 0.7 × health + 0.3 × latency score, which is 100 for the fastest and falls with the ratio
 * to it. Breakers: primary 3 failures, 30 s; the others 5, 60 s; each closes after 3 successes.
 */
export class MultiProviderRouter {
  constructor(options?: RouterOptions)
  readonly endpoints: Readonly<Record<string, string>>
  readonly breakers: Readonly<Record<string, CircuitBreaker>>
  /** The base URL of the best endpoint that is available; the primary's where none is. Only that one's probe is spent. */
  selectEndpoint(): string
  /** The name of the endpoint that a URL belongs to, or `'unknown'`. */
  getEndpointName(url: string): RouterEndpointName
  /** The last 100 count. An unknown name is passed over, here and below. */
  recordLatency(name: RouterEndpointName, ms: number): void
  recordSuccess(name: RouterEndpointName): void
  recordFailure(name: RouterEndpointName): void
}
