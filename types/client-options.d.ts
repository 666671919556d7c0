/** Options of a client, and its endpoints. */
import type { CallOptions } from './call-options.js'
import type { ContinuationForm } from './continuation.js'
import type { CostOptions } from './cost.js'
import type { ClientEvent } from './events.js'
import type { CircuitBreaker, CircuitBreakerOptions, RateLimitOptions } from './limits.js'
import type { ModelInfo } from './models.js'
import type { Logger } from './observability.js'
import type { RetryBudgetOptions } from './retry-options.js'

/** A provider. Its key and headers are sent to it and to no other host. */
export interface Endpoint {
  /** Its name in results, errors and events; its host and port by default. */
  name?: string
  /** A URL up to and including `/v1`, or a bare host. */
  baseUrl: string
  /** Without it no `authorization` header is sent, and a 401 says so: the client's key is never sent to an endpoint object. */
  apiKey?: string
  /** Sent in addition to the client's, to this endpoint only. */
  headers?: Record<string, string>
  /** Model names at this endpoint if they differ: yours to the endpoint's. */
  models?: Record<string, string>
  /** Its share of the calls relative to the other endpoints' weights (`routing`), more than 0. @default 1 */
  weight?: number
  /** Overrides the call's. */
  requireFinishReason?: boolean
  /** Overrides the client's. */
  sendSessionId?: 'header' | 'body' | 'both' | false
  /** Overrides the client's. */
  continuation?: ContinuationForm | 'auto' | 'none'
  /** A limiter for this endpoint, which an attempt passes after the client's. Off by default. */
  rateLimit?: RateLimitOptions | false
  /** Overrides the client's; `false`: no breaker here. */
  circuitBreaker?: CircuitBreakerOptions | false
}

/** Options of a client. */
export interface ClientOptions extends Omit<CallOptions, 'signal' | 'idempotencyKey' | 'sessionId'> {
  /** The API key. The environment variable `HOLYSHEEP_API_KEY` by default. */
  apiKey?: string
  /**
   * The endpoint. The environment variable `HOLYSHEEP_BASE_URL`, if set, by default. A bare host means `https://HOST/v1`.
   * @default 'https://api.holysheep.ai/v1'
   */
  baseUrl?: string
  /** The model for requests that do not name one. @default 'gpt-4.1' */
  model?: string
  /** Several endpoints, best first, instead of `baseUrl`. A plain URL uses the client's `apiKey`, an object only its own. */
  endpoints?: Array<string | Endpoint>
  /**
   * The order in which a call tries the endpoints of a model. `ordered`: as given; a later one is used only while those
   * before it fail. `weighted`: at random, in proportion to their `weight`. `score`: highest score first, 0.7 × health
   * (the last 10 attempts) + 0.3 × speed (median of the last 100 first-token times, relative to the fastest); the deficit
   * of an unused endpoint halves every 10 s. `least-busy`: the one with the fewest attempts in flight first. Endpoints
   * whose limiter has no capacity right now come last. @default 'ordered'
   */
  routing?: 'ordered' | 'weighted' | 'score' | 'least-busy'
  /**
   * How often the endpoints are probed (`healthCheck()`), in milliseconds, ±20 %. Off by default. The next call tries an
   * endpoint that answers again, without waiting for its breaker's `openMs`.
   */
  healthCheckMs?: number
  /**
   * A retry budget for the client and one for each `tenant`. Retries on a route, hedges and recoveries spend it; failing
   * over to another endpoint or model is free. When it is exhausted, a call fails with the error of its last attempt.
   * `false`: no budget. See `retryBudget.*`.
   */
  retryBudget?: RetryBudgetOptions | false
  /**
   * A breaker for each route (endpoint × model): options, one `CircuitBreaker` shared by all routes, or `false`. By default
   * on if there are several routes, and off if there is only one.
   */
  circuitBreaker?: CircuitBreaker | CircuitBreakerOptions | false
  /** A limiter that every attempt passes. Off by default. */
  rateLimit?: RateLimitOptions | false
  /** The maximum number of concurrent attempts; others wait in a queue. No limit by default. */
  maxConcurrent?: number
  /** How many attempts may wait for `maxConcurrent`; the next one fails with a `QueueFullError`. @default 1000 */
  maxQueue?: number
  /**
   * Where requests name the session: the header `x-session-id`, the body's `session_id`, both, or neither (`false`). By
   * default `'both'` for hosts of holysheep.ai and `'header'` for others, because a strict provider rejects body fields
   * that it does not know.
   */
  sendSessionId?: 'header' | 'body' | 'both' | false
  /**
   * How providers are told to continue the assistant turn of a broken answer: what they then write is the rest, to the
   * character. `auto`: as `probeContinuation()` has found, or as is known of the provider's host, otherwise not. A form:
   * always so; set one only for a provider that takes it, because nothing is compared. `none`: not at all. Where a provider
   * is not told to, or rejects the form (400, 422), the model is asked for the rest (`recovery.style`). @default 'auto'
   */
  continuation?: ContinuationForm | 'auto' | 'none'
  /**
   * Certificates in PEM to trust in addition to the system's and those of `NODE_EXTRA_CA_CERTS`: authorities, and servers'
   * own.
   */
  ca?: string | Uint8Array | Array<string | Uint8Array>
  /**
   * The proxy for every request (`http`, `https`, `socks4`, `socks4a`, `socks5`, `socks5h`; the URL may contain a user name
   * and password), or `false`. By default the environment's `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
   */
  proxy?: string | URL | false
  /**
   * Model data by exact name, merged over `catalogue()`. It bounds what calls can cost and decides which model has the
   * larger context. By itself it never rejects a call.
   */
  models?: Record<string, ModelInfo>
  /** Cost limits: see `cost.*`. Without them costs are only counted, and nothing is rejected. */
  cost?: CostOptions
  /**
   * Whether to reject a request whose model is neither in the catalogue nor among those that `client.models()` returned;
   * the error names the nearest known models. @default false
   */
  validateModel?: boolean
  /**
   * Where events are logged: `console`, pino or the like. Attempts at `debug`, waits at `info`, failed attempts,
   * fallbacks, recoveries and opening breakers at `warn`, failed calls at `error`. If it throws, a process warning is
   * emitted.
   */
  logger?: Logger | false
  /** Called on attempts, waits, fallbacks and breaker changes as they happen. If it throws, a process warning is emitted. */
  onEvent?(event: ClientEvent): void
}
