/**
 * A WHATWG `fetch` that runs on the engine: `new OpenAI({ fetch, maxRetries: 0 })` and
 * `createOpenAICompatible({ fetch })` get retries, limits, breakers, fallbacks, stage timeouts and mid-stream recovery
 * with no other change. docs/sdks.md says what holds for which request.
 */
import type { ClientOptions, HolySheepStreamingClient } from './index'

/**
 * The options of a client. The base URL, its key, the headers and the signal are the request's; `endpoints` are those
 * to fall back to, each with its own key.
 */
export interface FetchOptions
  extends Omit<ClientOptions, 'baseUrl' | 'signal' | 'coalesce' | 'idempotencyKey' | 'sessionId' | 'healthCheckMs'> {
  /**
   * How long an event stream may be silent before a `: heartbeat` comment is sent, in milliseconds: while a tool call
   * is held, say. SDKs pass comments over. 0: none. 15000 unless set.
   */
  heartbeatMs?: number
  /** What requests are passed on to that the engine does not speak; the platform's `fetch` unless set. */
  fetch?: (input: string | URL | Request, init?: RequestInit) => Promise<Response>
}

export interface HolySheepFetch extends AsyncDisposable {
  /**
   * As the platform's `fetch`. An HTTP error of the provider is a `Response` with its status, its body and
   * `x-should-retry: false`. Without a response it rejects with a `TypeError` whose `cause` is the typed error, or with
   * the typed error itself where nothing was sent (`CircuitOpenError`, `QueueFullError`, `CostCapError`); an abort with
   * the signal's reason. A body that cannot be healed fails with a `TypeError` whose `cause` is the typed error.
   */
  (input: string | URL | Request, init?: RequestInit): Promise<Response>
  /**
   * The clients by base URL, for `metrics()` and `cost()`. One is made with the first request to its
   * base URL; at most 64 are kept, those that were used last.
   */
  readonly clients: ReadonlyMap<string, HolySheepStreamingClient>
  /** Ends what is in flight, and refuses what comes later. */
  close(): Promise<void>
}

export function createFetch(options?: FetchOptions): HolySheepFetch
