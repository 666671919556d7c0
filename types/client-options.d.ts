/** Options of a client, and its endpoints. */
import type { CallOptions } from './call-options.js'
import type { CostOptions } from './cost.js'
import type { ClientEvent } from './events.js'
import type { CircuitBreaker, CircuitBreakerOptions, RateLimitOptions } from './limits.js'
import type { ModelInfo } from './models.js'
import type { RetryBudgetOptions } from './retry-options.js'

/** A provider. Its key and headers go to it and to no other host. */
export interface Endpoint {
  /** How results, errors and events name it; by default its host and port. */
  name?: string
  /** A URL up to and including `/v1`, or a bare host. */
  baseUrl: string
  /** Without it no `authorization` header is sent, and a 401 says so: the client's own key goes to no endpoint that is an object. */
  apiKey?: string
  /** Beside the client's, for this endpoint alone. */
  headers?: Record<string, string>
  /** Names of models here, where they differ: ours to theirs. */
  models?: Record<string, string>
  /** Its share of the calls against the other endpoints' (`routing`), more than 0; 1 unless set. */
  weight?: number
  /** Instead of the call's. */
  completion?: 'strict' | 'lenient'
  /** Whether the body carries `session_id`; without it that of the client. */
  sessionField?: boolean
  /** A limiter of this endpoint, which an attempt passes after the client's. Off unless set. */
  rateLimit?: RateLimitOptions | false
  /** As for the client, whose it is unless set; `false`: none here. */
  circuitBreaker?: CircuitBreakerOptions | false
}

/** Options of a client. */
export interface ClientOptions extends Omit<CallOptions, 'signal' | 'idempotencyKey' | 'sessionId'> {
  /** The key; without it `HOLYSHEEP_API_KEY`. */
  apiKey?: string
  /**
   * The endpoint; without it `HOLYSHEEP_BASE_URL`. A bare host means `https://HOST/v1`.
   * @default 'https://api.holysheep.ai/v1'
   */
  baseUrl?: string
  /** The model of requests that name none. @default 'gpt-4.1' */
  model?: string
  /** Several endpoints, best first, instead of `baseUrl`. A plain URL gets the client's `apiKey`; an object only its own. */
  endpoints?: Array<string | Endpoint>
  /**
   * In which order a call tries the endpoints of a model. `ordered`: as they are given; a later one is used only while
   * those before it fail. `weighted`: at random, in proportion to their `weight`. `score`: the best of 0.7 × health (the
   * last 10 attempts) + 0.3 × speed (median of the last 100 first-token times, relative to the fastest) first; one that
   * is not used is forgiven half of what it lacks every 10 s. `least-busy`: the one with the fewest attempts under way.
   * One whose limiter has no room now comes after those that have. @default 'ordered'
   */
  routing?: 'ordered' | 'weighted' | 'score' | 'least-busy'
  /**
   * How often the endpoints are probed (`healthCheck()`), in milliseconds, ±20 %. Off unless set. An endpoint that
   * answers is tried again by the next call, without waiting for its breaker's `timeout`.
   */
  healthCheckMs?: number
  /**
   * The budget of retries, of the client and of each `budgetKey`: spent by retries on a route, hedges and recoveries; the
   * first try of another endpoint or model is free. Beyond it a call fails with its last attempt's error. `false`: none.
   * See `retryBudget.*`.
   */
  retryBudget?: RetryBudgetOptions | false
  /**
   * A breaker for each route (endpoint × model): options, one breaker of your own for all routes, or
   * `false`. Without it: on, with default options, where there are several routes; off where there is one.
   */
  circuitBreaker?: CircuitBreaker | CircuitBreakerOptions | false
  /** A limiter before every attempt. Off unless set. */
  rateLimit?: RateLimitOptions | false
  /** Attempts at a time; others wait in a queue. No limit unless set. */
  maxConcurrent?: number
  /** How many may wait for `maxConcurrent`; one more gets a `QueueFullError`. @default 1000 */
  maxQueue?: number
  /**
   * Whether the body carries `session_id`. Without it: to hosts of holysheep.ai, and to no others, because a strict
   * provider refuses a field that it does not know.
   */
  sessionField?: boolean
  /** Certificates in PEM that are trusted beside the system's and those of `NODE_EXTRA_CA_CERTS`. */
  ca?: string | Uint8Array | Array<string | Uint8Array>
  /**
   * The proxy of every request (`http`, `https`, `socks4`, `socks4a`, `socks5`, `socks5h`; user and password may stand in
   * the URL), or `false`. Without it: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment.
   */
  proxy?: string | URL | false
  /**
   * What is known of models, by their exact names, on top of `catalogue()`. It bounds what calls can cost and tells
   * which model has the larger context; it refuses no call by itself.
   */
  models?: Record<string, ModelInfo>
  /** What calls may cost: see `cost.*`. Without it their cost is counted, and nothing is refused. */
  cost?: CostOptions
  /**
   * Refuse a request whose model is neither in the catalogue nor among those that `client.models()` has told, with
   * the nearest known names in the error. @default false
   */
  validateModel?: boolean
  /** Told of attempts, waits, fallbacks and breaker changes, as they happen. An error that it throws becomes a process warning. */
  onEvent?(event: ClientEvent): void
}
