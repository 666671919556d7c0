/**
 * The systems of the documents: faces on the engine of `HolySheepStreamingClient`. They turn their arguments into
 * requests and options for it, and shape what comes back. Where a face takes a client's options, they override its own.
 */
import type {
  CallOptions,
  ChatCompletion,
  ChatMessage,
  ChatRequest,
  CircuitBreaker,
  ClientOptions,
  HolySheepError,
  HolySheepStreamingClient,
  Jitter,
  StreamResult,
} from './index'

// Keys, timeouts, resets ----------------------------------------------------------------------

/**
 * Checks a key's form: after trimming it starts with `sk-` and has at least 20 characters.
 * @throws TypeError with `code: 'INVALID_ARGUMENT'`, which never shows the key.
 */
export function validateApiKey(key: string): true

/**
 * A client whose silence is bounded by the task: `short` 10 s (connection 5 s), `medium` 30 s (10 s), `long` 60 s (15 s);
 * any other name is `medium`. It bounds the wait for the first token and between two bytes, on every route, not the
 * length of the answer. Retries 2, unless `options` say otherwise.
 */
export function createClientWithTimeout(
  taskType?: 'short' | 'medium' | 'long' | (string & {}),
  options?: ClientOptions,
): HolySheepStreamingClient

/**
 * A `fetch` with a deadline for headers and body. When it passes, the promise rejects, or the body fails, with a
 * `TimeoutError` (`code: 'TIMEOUT'`) whose `partialData` is what was received: `partialBuffer`, then the first 8 MiB
 * of the body, as bytes where `partialBuffer` is bytes, else as text. `options.signal` goes on working.
 * @param timeout In milliseconds. Default 30000.
 */
export function streamWithTimeout(
  url: string | URL | Request,
  options?: RequestInit & { partialBuffer?: string | Uint8Array },
  timeout?: number,
): Promise<Response>

/**
 * After an `ECONNRESET`, and while `attempt < maxAttempts`: waits a random 1–3 s and resolves to true, else to false at
 * once. What was received (`request.partialResponse`, else `error.partial`) is used: `request.messages` becomes a
 * question for the rest of it, which a further reset replaces.
 */
export function handleConnectionReset(
  error: unknown,
  request: Partial<ChatRequest> & { partialResponse?: string },
  attempt: number,
  maxAttempts: number,
  options?: { signal?: AbortSignal },
): Promise<boolean>

// Retries ---------------------------------------------------------------------------------------

export interface RetryWithBackoffOptions {
  /** Attempts in all, the first one included. 5 unless set. */
  maxAttempts?: number
  /** The first wait, in milliseconds. 1000 unless set. */
  baseDelay?: number
  /** No wait is longer, in milliseconds, except one that a server asks for. 60000 unless set. */
  maxDelay?: number
  /** No wait is shorter, in milliseconds. 0 unless set. */
  minDelay?: number
  /** Exponential unless set; an array is the waits themselves. */
  backoff?: 'exponential' | 'linear' | 'constant' | number[]
  /** 2 unless set. */
  multiplier?: number
  /** `true`, full jitter, unless set. */
  jitter?: boolean | Jitter
  /** A longer wait that a server asks for is not waited for: the error is thrown. 60000 unless set. */
  maxRetryAfterMs?: number
  /** Error classes, or a judgement. Unless set: as the client judges, and timeouts and broken connections of others. */
  retryable?: ReadonlyArray<abstract new (...given: any[]) => unknown> | ((error: unknown) => boolean)
  /** Told before each wait: of which attempt (1-based), why, and how long it will be. */
  onRetry?(attempt: number, error: unknown, delayMs: number): unknown
  /** Ends waits and attempts: rejects with `signal.reason`. */
  signal?: AbortSignal
}

/** Calls any function until it succeeds. Never sooner than `retry-after`. @throws The last error, as it is. */
export function retryWithBackoff<T>(
  fn: (context: { attempt: number; signal?: AbortSignal }) => T | PromiseLike<T>,
  options?: RetryWithBackoffOptions,
): Promise<T>

/** A chat request; with `stream: true` the text goes to `onChunk`, piece by piece. */
export type ManagedRequest = ChatRequest & { onChunk?(content: string): unknown }

export interface ExecuteOptions extends CallOptions {
  /** Retries after the first attempt. 3 unless set. */
  maxRetries?: number
  /** The first wait, in milliseconds; each further one is twice as long. 1000 unless set. */
  baseDelay?: number
  /** No wait is longer, in milliseconds. 10000 unless set. */
  maxDelay?: number
  /** Told before the wait of each retry (1-based). */
  onRetry?(attempt: number, error: Error, delay: number): unknown
  /** Told when the circuit is open, before the promise rejects. */
  onCircuitOpen?(): unknown
}

/** Retries behind a breaker, which is asked before every attempt. */
export class HolySheepRetryManager implements AsyncDisposable {
  /** @param options A client's; `maxConcurrent` is 100 and `maxQueue` 1000 unless set. */
  constructor(apiKey?: string, options?: ClientOptions)
  get apiKey(): string
  /** 5 failures, 30 s. May be replaced. */
  circuitBreaker: CircuitBreaker
  /** What waits for one of the `maxConcurrent` places, first in, first out. */
  readonly requestQueue: ReadonlyArray<{ request: ManagedRequest }>
  /** Whether anything runs. */
  get isProcessing(): boolean
  /**
   * @returns The answer; for `stream: true` the `StreamResult`.
   * @throws CircuitOpenError; QueueFullError; else the error of the last attempt.
   */
  executeWithRetry(request: ManagedRequest & { stream: true }, options?: ExecuteOptions): Promise<StreamResult>
  executeWithRetry(request: ManagedRequest, options?: ExecuteOptions): Promise<ChatCompletion>
  /** Exactly one attempt. */
  executeRequest(request: ManagedRequest & { stream: true }, options?: CallOptions): Promise<StreamResult>
  executeRequest(request: ManagedRequest, options?: CallOptions): Promise<ChatCompletion>
  /** By `code` or `status`, never by what a message says. */
  shouldRetry(error: unknown): boolean
  sleep(ms: number): Promise<void>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface RetryConfigOptions {
  /** Retries after the first attempt. 3 unless set. */
  maxRetries?: number
  /** In milliseconds. 1000 unless set. */
  baseDelay?: number
  /** In milliseconds; holds after the jitter. 30000 unless set. */
  maxDelay?: number
  /** 2 unless set. */
  exponentialBase?: number
  /** 50–150 % of the wait. On unless set. */
  jitter?: boolean
}

export class RetryConfig {
  constructor(options?: RetryConfigOptions)
  readonly maxRetries: number
  readonly baseDelay: number
  readonly maxDelay: number
  readonly exponentialBase: number
  readonly jitter: boolean
  /** The wait after the attempt with this number, counted from 0, in milliseconds. */
  calculateDelay(attempt: number): number
}

export type StatusDecision = 'immediate' | 'delayed' | 'never' | 'fallback'

/** A status and what is done about it. `code` is `RETRYABLE`. */
export class RetryableError extends HolySheepError {
  constructor(statusCode: number, message: string, decision: StatusDecision)
  readonly statusCode: number
  readonly decision: StatusDecision
}

export type RetryResult =
  | { success: true; data: ChatCompletion; modelUsed: string }
  | {
      success: false
      /** The last status, where there was one. */
      statusCode?: number
      error: string
      /** How many attempts were really made. */
      finalAttempt: number
      retried: boolean
      cause: Error
    }

export interface RetryStats {
  totalRequests: number
  successful: number
  /** Retries, and first tries of further models. */
  retried: number
  failedPermanently: number
  /** Seconds that calls have waited before retries. */
  totalRetryCost: number
  /** `'NN.N%'` */
  retryRate: string
  /** `'NN.N%'` */
  successRate: string
  /** `'N.Ns'` */
  estimatedWaitTime: string
}

/**
 * Decides by the status: 408, 500, 502, 504 wait 1, 2, 4 s; 429 5, 10, 20 s or as the server says; 503 as the config
 * says; 400, 401, 403, 404, 422 are not tried again. Broken connections are. A model that does not answer in time, or
 * has no retries left, is followed by the next of `fallbackModels`.
 */
export class RetryAIManager implements AsyncDisposable {
  static readonly RETRY_STATUS_MAP: Readonly<Record<number, StatusDecision>>
  constructor(apiKey?: string, config?: RetryConfig | RetryConfigOptions, options?: ClientOptions)
  get apiKey(): string
  get baseUrl(): string
  readonly config: RetryConfig
  callWithRetry(
    messages: ChatRequest['messages'],
    model?: string,
    fallbackModels?: readonly string[],
    options?: CallOptions,
  ): Promise<RetryResult>
  /**
   * What a call does about a status; `delayed` where only the client's own rules know it (520–524, 529 …). With a
   * `retry.retryOn` of your own: by that.
   */
  classifyError(statusCode: number, message: string): RetryableError
  getRetryStats(): RetryStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

// Service levels ----------------------------------------------------------------------------------

export type TimeoutTier = 'FAST' | 'NORMAL' | 'DEEP'

export interface TimeoutManagerOptions extends ClientOptions {
  /** How long an answer may take, in milliseconds. FAST 1000, NORMAL 3000, DEEP 8000 unless set. */
  tiers?: Partial<Record<TimeoutTier, number>>
}

export type TimeoutResult =
  | {
      success: true
      data: ChatCompletion
      latencyMs: number
      timeoutTier: TimeoutTier
      modelUsed: string
      /** Another model than the one that was asked has answered. */
      fallbackTriggered: boolean
    }
  | {
      success: false
      error: string
      timeoutTier: TimeoutTier
      /** Another model was really tried. */
      fallbackTriggered: boolean
      /** After a timeout. */
      suggestion?: string
      cause: Error
    }

export type TimeoutStats = { totalRequests: number; successRate: number; avgLatency: number } | { message: string }

/**
 * A time for each kind of question: `faq` and `simple` FAST, `normal` NORMAL, `complex` and `analysis` DEEP, any other
 * NORMAL. Each model has that time for its whole answer; `fallbackModels`, where given, follow.
 */
export class TimeoutAIManager implements AsyncDisposable {
  constructor(apiKey?: string, options?: TimeoutManagerOptions)
  get apiKey(): string
  get baseUrl(): string
  callWithTimeout(
    messages: ChatRequest['messages'],
    queryType?: 'faq' | 'simple' | 'normal' | 'complex' | 'analysis' | (string & {}),
    model?: string,
    options?: CallOptions,
  ): Promise<TimeoutResult>
  /** `successRate` in per cent, `avgLatency` of successes in milliseconds; `{ message }` before the first call. */
  getTimeoutStats(): TimeoutStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type QueryComplexity = 'simple' | 'moderate' | 'complex'

export interface ModelConfig {
  name: string
  /** USD per million tokens. */
  costPerMillionTokens: number
  avgLatencyMs?: number
  capability?: QueryComplexity
  /** The smaller, the stronger the model; from 3 on it does for simple questions. */
  priority: number
}

export type DegradationResult =
  | {
      success: true
      data: ChatCompletion
      modelUsed: string
      /** A model other than the first candidate has answered. */
      fallbackTriggered: boolean
      originalComplexity: QueryComplexity
      /** Of the attempt that brought the answer. */
      latencyMs: number
    }
  | {
      success: false
      error: string
      /** The models that were really asked. */
      candidatesTried: string[]
      cause: Error
    }

export interface DegradationStats {
  usageByModel: Record<string, number>
  /** Failures in a row, by model: 5 open its breaker. */
  circuitBreakers: Record<string, number>
  /** In milliseconds. */
  avgLatency: Record<string, number>
}

/**
 * Asks the model that a question needs, and the next ones where it cannot answer. Complex: the chain in its order;
 * moderate: without the weakest; simple: the cheap ones first, then the stronger. A breaker for each model
 * (5 failures, then tried again after 60 s).
 */
export class ModelDegradationManager implements AsyncDisposable {
  static readonly DEFAULT_MODEL_CHAIN: readonly ModelConfig[]
  /** @param options A client's; `classify` in place of the document's rules. */
  constructor(
    apiKey?: string,
    modelChain?: readonly ModelConfig[] | null,
    options?: ClientOptions & { classify?: (messages: ChatRequest['messages']) => QueryComplexity },
  )
  get apiKey(): string
  get baseUrl(): string
  readonly modelChain: readonly ModelConfig[]
  /** @param preferredModel Asked first. */
  callWithDegradation(
    messages: ChatRequest['messages'],
    preferredModel?: string | null,
    options?: CallOptions,
  ): Promise<DegradationResult>
  /** The models for a question of this complexity, best first. */
  candidates(complexity: QueryComplexity): string[]
  getDegradationStats(): DegradationStats
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

// Endpoints and providers ---------------------------------------------------------------------------

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

// Many prompts ----------------------------------------------------------------------------------------

/** A user's message, or a conversation. */
export type Prompt = string | ReadonlyArray<ChatMessage | object>

export interface BatchProgress {
  done: number
  succeeded: number
  failed: number
  elapsedMs: number
  /** Where it is known. */
  total?: number
  /** As long for each prompt that is left as for each so far. */
  estimatedMsLeft?: number
}

export interface BatchOptions extends ClientOptions {
  /** `gemini-2.5-flash` unless set. */
  model?: string
  /** Attempts in all, for each prompt; an open circuit is waited for and is none. 3 unless set. */
  maxRetries?: number
  /** Prompts at a time. 10 unless set. */
  concurrency?: number
  /** Further fields of each request. */
  request?: Record<string, unknown>
  /** How many prompts an iterable has, for the progress. */
  total?: number
  /** Stops all: what is done keeps its result, what is not fails with `cause: signal.reason`. */
  signal?: AbortSignal
  onProgress?(progress: BatchProgress): unknown
  /** A client of your own in place of one made from these options. */
  client?: { chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion> }
}

export type BatchResult =
  | { index: number; success: true; result: string }
  | { index: number; success: false; error: string; cause: unknown }

/** A result for every prompt, in order. A prompt that fails does not stop the others. */
export function batchProcess(
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  options?: BatchOptions,
): Promise<BatchResult[]>

/**
 * The same, one result at a time as they come, for more prompts than memory holds: a prompt is read when there is a
 * place for it, and no more than `concurrency` prompts and unread results are held. Leaving the loop stops all.
 */
export function batchStream(
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  options?: BatchOptions,
): AsyncGenerator<BatchResult, void>

export interface QueueOptions extends ClientOptions {
  /** Attempts in all, for each task. 3 unless set. */
  maxRetries?: number
  /** Tasks that are not finished. 1000 unless set. */
  maxSize?: number
  /** Attempts at a time. 10 unless set. */
  concurrency?: number
  request?: Record<string, unknown>
  client?: BatchOptions['client']
}

export type QueueResult = { taskId: string; response: string } | { taskId: string; error: string; cause: unknown }

/** Tasks with a bounded number of attempts, in a bounded queue. A task that waits for its retry lets others pass. */
export class BoundedRetryQueue {
  constructor(options?: QueueOptions)
  constructor(maxRetries?: number, maxSize?: number, options?: QueueOptions)
  readonly maxRetries: number
  readonly maxSize: number
  /** Tasks that are not finished. */
  get size(): number
  /** Rejects with a QueueFullError where it is full, and with a TypeError where the id is there already. */
  addTask(taskId: string, prompt: Prompt): Promise<void>
  /**
   * Results as they come, until the queue is empty; tasks may be added meanwhile. Leaving the loop, or an abort, stops
   * what runs; what is not finished stays in the queue.
   */
  processWithRetry(options?: { signal?: AbortSignal }): AsyncGenerator<QueueResult, void>
}

// Interrupted answers --------------------------------------------------------------------------

/** Options of `smartStreamWithRecovery`. */
export interface SmartStreamOptions {
  /** Attempts in all, breaks included. @default 5 */
  maxRetries?: number
  /** Silence before the first token and between two reads, in milliseconds; a long healthy answer is not cut. @default 30000 */
  timeout?: number
  /** Told of each piece of text, once and in order; a promise that it returns is awaited. */
  onProgress?(content: string): unknown
  /** Told of the whole answer. */
  onComplete?(response: string): unknown
  /** Told of the error, once, when the call has failed. */
  onError?(error: Error): unknown
}

/** How `smartStreamWithRecovery` ended. `response` is what was received, `attempts` how many requests were made. */
export type SmartStreamOutcome =
  | { success: true; response: string; attempts: number }
  | {
      success: false
      /** `Max retries exceeded` where all attempts were used up (`cause` is the last error), else the error. */
      error: Error | 'Max retries exceeded'
      cause?: Error
      response: string
      attempts: number
    }

/**
 * A client that finishes interrupted answers, in the form of the documents. Its waits are 2, 4, 8 and then 10 s; its
 * requests carry `session_id` unless `sessionField` is false.
 */
export class ResilientStreamingClient extends HolySheepStreamingClient {
  constructor(apiKey: string, options?: number | ClientOptions)
  constructor(options?: ClientOptions)
  /** The id of the last chunk of the call that last received something; `null` before. */
  lastReceivedId: string | null
  /** The text so far of the call that last received something. */
  accumulatedContent: string
  /** An answer with recovery. Rejects only for invalid arguments. */
  smartStreamWithRecovery(
    model: string,
    messages: ChatRequest['messages'],
    options?: SmartStreamOptions,
  ): Promise<SmartStreamOutcome>
  /** Exactly one attempt; resolves to its text. `timeout` as in `SmartStreamOptions`. */
  streamSession(
    model: string,
    messages: ChatRequest['messages'],
    sessionId: string,
    timeout?: number,
    onProgress?: (content: string) => unknown,
  ): Promise<string>
  /** The messages with one system message more, which asks for the rest and quotes the last 200 characters. */
  buildRecoveryContext(messages: ChatRequest['messages'], partialResponse: string): ChatRequest['messages']
  /** `session_<ms>_<9 of base 36>`. */
  generateSessionId(): string
  /** False for the codes `INVALID_REQUEST`, `AUTH_FAILED` and `CONTENT_FILTERED`. */
  isRecoverable(error: unknown): boolean
}
