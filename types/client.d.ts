/// <reference lib="esnext.disposable" />
/** The client. */
import type { CallOptions } from './call-options.js'
import type { ChatCompletion, ChatRequest, ChatRequestFields } from './chat.js'
import type { ClientOptions } from './client-options.js'
import type { ContinuationProbeOptions, ProbedContinuation } from './continuation.js'
import type { CostReport } from './cost.js'
import type { EndpointHealth, Metrics } from './metrics.js'
import type { ProviderModel } from './models.js'
import type { Snapshot } from './snapshot.js'
import type { ChatStream } from './stream.js'

/** How `streamWithRetry` ended. `attempts` is how many requests were sent. */
export type StreamOutcome = { success: true; attempts: number } | { success: false; attempts: number; error: Error }

/**
 * The client. Retries, limits, breakers, fallbacks and deadlines run in Rust, off the event loop. An idle client does not
 * keep the process alive; a call in flight does.
 */
export class HolySheepStreamingClient implements AsyncDisposable {
  /**
   * @param apiKey The key.
   * @param options The number of retries after the first attempt, or an options object.
   * @throws TypeError or RangeError with `code: 'INVALID_ARGUMENT'`, naming the option, the given value and what is accepted.
   */
  constructor(apiKey: string | undefined, options?: number | ClientOptions)
  constructor(options?: ClientOptions)

  /** The API key, trimmed. Writable; not enumerable, never printed. */
  get apiKey(): string
  set apiKey(key: string)
  /** Retries after the first attempt. Writable; takes effect with the next call. */
  get maxRetries(): number
  set maxRetries(retries: number)
  /** The endpoint as given: a URL, or a bare host, which means `https://HOST/v1`. Writable. */
  get baseUrl(): string
  set baseUrl(url: string)
  /** The first wait of the backoff, in milliseconds (`retry.baseDelayMs`). Writable. */
  get baseDelay(): number
  set baseDelay(ms: number)

  /**
   * Streams the answer to `messages` with the client's model.
   * @param onChunk Called with each delta of the text, in order. A returned promise is awaited, which slows the stream
   *   down. An error that it throws ends the call.
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

  /** Whether a failure with this `status` or `code` (number or string) is retried, `retry.retryOn` included. */
  isRetryable(error: unknown): boolean

  /** Resolves after `ms` milliseconds. */
  sleep(ms: number): Promise<void>

  /** Streams an answer. @throws TypeError for an invalid request or invalid options. */
  stream(request: ChatRequest | ChatRequestFields, options?: CallOptions): ChatStream

  /**
   * Resumes an answer from its snapshot. The stream delivers the rest; `result.text` and `text()` are the whole answer, and
   * `result.attempts` and the other figures include those of the snapshot. For a complete answer the stream is empty.
   * @param request Required if the snapshot contains only a hash of the messages; other messages are rejected.
   * @throws TypeError for an invalid snapshot or one of another version.
   */
  resume(snapshot: Snapshot, request?: ChatRequest | ChatRequestFields, options?: CallOptions): ChatStream

  /** Returns a complete answer. It is streamed upstream, so that the same timeouts apply. */
  chat(request: ChatRequest | ChatRequestFields, options?: CallOptions): Promise<ChatCompletion>

  /** What was spent in the current window. */
  cost(): CostReport

  /**
   * Lists the models of the first endpoint that answers (`GET /models`), and remembers their names for `validateModel`. One
   * attempt per endpoint. @throws the error of the last endpoint.
   */
  models(options?: { signal?: AbortSignal }): Promise<ProviderModel[]>

  /**
   * Probes each endpoint now, one after the other: `GET /models` with its own key, within 5 s (and `healthCheckMs`).
   * The result counts toward the health of its routes (`routing: 'score'`), and success turns an open breaker half-open.
   */
  healthCheck(): Promise<EndpointHealth[]>

  /**
   * Asks models, in each form of `continuation`, to continue the beginning of a sentence, and remembers for each endpoint
   * and model the form in which its provider continues: with `continuation: 'auto'` broken answers are then continued so. The
   * client never probes on its own. Up to eight requests for each endpoint and model, one at a time, of 16 tokens each; they
   * count like calls (limits, breakers, costs, metrics) and have no events. A request that fails is part of the result.
   * @throws TypeError with `code: 'INVALID_ARGUMENT'`; `signal.reason`; ClientClosedError.
   */
  probeContinuation(options?: ContinuationProbeOptions): Promise<ProbedContinuation[]>

  /** What the client has counted since it was created. */
  metrics(): Metrics

  /** The same in Prometheus' text format 0.0.4 (`content-type: text/plain; version=0.0.4`). */
  metricsText(): string

  /**
   * Ends calls in flight (`code: 'CLIENT_CLOSED'`) and rejects new ones. A complete answer is still delivered to a callback
   * that is processing it.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
