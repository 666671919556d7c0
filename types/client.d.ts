/// <reference lib="esnext.disposable" />
/** The client. */
import type { CallOptions } from './call-options.js'
import type { ChatCompletion, ChatRequest, ChatRequestFields } from './chat.js'
import type { ClientOptions } from './client-options.js'
import type { CostReport } from './cost.js'
import type { EndpointHealth, Metrics } from './metrics.js'
import type { ProviderModel } from './models.js'
import type { Snapshot } from './snapshot.js'
import type { ChatStream } from './stream.js'

/** How `streamWithRetry` ended. `attempts` is how many requests were really made. */
export type StreamOutcome = { success: true; attempts: number } | { success: false; attempts: number; error: Error }

/**
 * The client. Every call passes retries, limits, breakers, fallbacks and deadlines in Rust, off the
 * event loop. An idle client does not keep the process alive; a call in flight does.
 */
export class HolySheepStreamingClient implements AsyncDisposable {
  /**
   * @param apiKey The key.
   * @param options Retries after the first attempt, or all options.
   * @throws TypeError, RangeError with `code: 'INVALID_ARGUMENT'`: the option, what it got, what it takes.
   */
  constructor(apiKey: string | undefined, options?: number | ClientOptions)
  constructor(options?: ClientOptions)

  /** The key, without white space around it. Writable; not enumerable, never printed. */
  get apiKey(): string
  set apiKey(key: string)
  /** Retries after the first attempt. Writable; holds from the next call on. */
  get maxRetries(): number
  set maxRetries(retries: number)
  /** The endpoint as it was given: a URL, or a bare host, which means `https://HOST/v1`. Writable. */
  get baseUrl(): string
  set baseUrl(url: string)
  /** The first wait of the backoff, in milliseconds (`retry.baseDelayMs`). Writable. */
  get baseDelay(): number
  set baseDelay(ms: number)

  /**
   * Streams the answer to `messages` with the client's model.
   * @param onChunk Called once for each piece of text, in order. A promise that it returns is awaited,
   *   which slows the stream down. What it throws ends the call.
   * @param onError Called once with the last error, before the promise resolves.
   * @returns How it ended; rejects only for invalid arguments.
   */
  streamWithRetry(
    messages: ChatRequest['messages'],
    onChunk?: ((content: string) => unknown) | null,
    onError?: ((error: Error) => unknown) | null,
    options?: CallOptions,
  ): Promise<StreamOutcome>

  /** Exactly one attempt, without retries and fallbacks; rejects on failure. */
  executeStream(
    messages: ChatRequest['messages'],
    onChunk?: ((content: string) => unknown) | null,
    options?: CallOptions,
  ): Promise<void>

  /** Whether a failure with this `status` or `code` (number or string) is retried; `retry.retryOn` counts. */
  isRetryable(error: unknown): boolean

  /** Resolves after `ms` milliseconds. */
  sleep(ms: number): Promise<void>

  /** Streams an answer. @throws TypeError for a request or options that are none. */
  stream(request: ChatRequest | ChatRequestFields, options?: CallOptions): ChatStream

  /**
   * Goes on with an answer from its snapshot. The stream brings the rest; `result.text` and `text()` are the whole
   * answer, `result.attempts` and the other accounts include what the snapshot has. Of an answer that was whole it
   * brings nothing more.
   * @param request Needed where the snapshot holds only a hash of the messages; other messages are refused.
   * @throws TypeError for a snapshot that is none or of another version.
   */
  resume(snapshot: Snapshot, request?: ChatRequest | ChatRequestFields, options?: CallOptions): ChatStream

  /** An answer in one piece. It is streamed upstream, so that the same limits hold. */
  chat(request: ChatRequest | ChatRequestFields, options?: CallOptions): Promise<ChatCompletion>

  /** What was spent in the window that is now. */
  cost(): CostReport

  /**
   * Asks for the models of the first endpoint that tells them (`GET /models`), and remembers their names for
   * `validateModel`. One try an endpoint. @throws the error of the last endpoint.
   */
  models(options?: { signal?: AbortSignal }): Promise<ProviderModel[]>

  /**
   * Probes each endpoint now, one after the other: `GET /models` with its own key, within 5 s (and `healthCheckMs`).
   * What it answers counts for the health of its routes (`routing: 'score'`), and makes a breaker that was open half-open.
   */
  healthCheck(): Promise<EndpointHealth[]>

  /** What the client has counted since it was made. */
  metrics(): Metrics

  /** The same in Prometheus' text format 0.0.4 (`content-type: text/plain; version=0.0.4`). */
  metricsText(): string

  /**
   * Ends what is in flight (`code: 'CLIENT_CLOSED'`) and refuses what comes later. An answer that has come in full is still
   * handed over to a callback that is at work on it.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
