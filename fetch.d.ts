/**
 * A WHATWG `fetch` on top of the client: `new OpenAI({ fetch, maxRetries: 0 })` and
 * `createOpenAICompatible({ fetch })` get retries, limits, breakers, fallbacks, stage timeouts and mid-stream recovery
 * without further changes; so do `createOpenAI({ fetch })` (Responses) and `new Anthropic({ fetch })`
 * (Messages). See docs/sdks.md.
 */
import type { ClientOptions, HolySheepStreamingClient } from './index'

/**
 * Client options. The base URL, its key, the headers and the signal come from the request; `endpoints` are those to fall
 * back to, each with its own key.
 */
export interface FetchOptions
  extends Omit<ClientOptions, 'baseUrl' | 'signal' | 'coalesce' | 'idempotencyKey' | 'sessionId' | 'healthCheckMs'> {
  /**
   * How long an event stream may be silent before a `: heartbeat` comment is sent, in milliseconds, for example while a
   * tool call is buffered. SDKs ignore comments. 0 turns it off. @default 15000
   */
  heartbeatMs?: number
  /** Sends the requests that the client does not handle. By default `globalThis.fetch` at the time of creation. */
  fetch?: (input: string | URL | Request, init?: RequestInit) => Promise<Response>
}

export interface HolySheepFetch extends AsyncDisposable {
  /**
   * Like the platform's `fetch`. An error of the provider is a `Response` with its status, its headers and
   * `x-should-retry: false`. It has the provider's body, in the SDK's shape if the SDK would not find the message in it;
   * an error that the provider reports with status 200 has a matching one, and an answer that is too large has 422. Without
   * a response it rejects with a `TypeError` whose `cause` is the typed error, or with the typed error itself if nothing was
   * sent (`CircuitOpenError`, `QueueFullError`, `CostCapError`) or no `Response` can have the status (304, 600); an abort
   * rejects with the signal's reason. If recovery fails, the body errors with a `TypeError` whose `cause` is the typed error.
   */
  (input: string | URL | Request, init?: RequestInit): Promise<Response>
  /**
   * The clients by base URL, for `metrics()` and `cost()`. Each is created by the first request to its base URL; the 64 most
   * recently used ones are kept.
   */
  readonly clients: ReadonlyMap<string, HolySheepStreamingClient>
  /** Ends requests in flight and rejects new ones. */
  close(): Promise<void>
}

export function createFetch(options?: FetchOptions): HolySheepFetch
