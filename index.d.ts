/**
 * A client for OpenAI-compatible chat APIs that keeps its promise when the provider does not.
 *
 * Every default that is named here with `@default` is the one in force; a test compares them.
 */

import type { Logger } from './types/observability'

// ---------------------------------------------------------------------------------------------
// Requests and answers: OpenAI's shapes. Fields that are not named here are passed on unchanged.
// ---------------------------------------------------------------------------------------------

/** One message of a conversation. Any field of the OpenAI API is accepted and passed on. */
export interface ChatMessage {
  role: 'developer' | 'system' | 'user' | 'assistant' | 'tool' | 'function' | (string & {})
  content?: string | null | ReadonlyArray<object>
  name?: string
  tool_calls?: ReadonlyArray<object>
  tool_call_id?: string
  [field: string]: unknown
}

/** The fields of a request that are known here. Other packages' types of requests fit it. */
export interface ChatRequestFields {
  messages: ReadonlyArray<ChatMessage | object>
  /** The model. Without it: the client's `model`. */
  model?: string
  /** Set by the client: `stream()` and `chat()` both stream upstream. */
  stream?: boolean | null
  /** Number of choices. */
  n?: number | null
  max_tokens?: number | null
  max_completion_tokens?: number | null
  stream_options?: { include_usage?: boolean } | null
}

/** A chat completion request. Any field of the OpenAI API is accepted and passed on unchanged. */
export interface ChatRequest extends ChatRequestFields {
  [field: string]: unknown
}

/** Tokens that a call has used, as the provider counts them. */
export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  [field: string]: unknown
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'function_call'

/** A tool call of a complete answer. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

/** The piece of a tool call that one chunk brings. */
export interface ToolCallDelta {
  index: number
  id?: string
  type?: 'function'
  function?: { name?: string; arguments?: string }
}

/** One event of a stream: OpenAI's `chat.completion.chunk`, as the provider sent it. */
export interface ChatCompletionChunk {
  id: string
  object: 'chat.completion.chunk'
  created: number
  model: string
  choices: Array<{
    index: number
    delta: {
      role?: 'developer' | 'system' | 'user' | 'assistant' | 'tool'
      content?: string | null
      refusal?: string | null
      /** Reasoning, where the provider shows it. */
      reasoning_content?: string | null
      tool_calls?: ToolCallDelta[]
    }
    finish_reason: FinishReason | null
    logprobs?: any
  }>
  usage?: Usage | null
  system_fingerprint?: string
}

/** An answer in one piece: OpenAI's `chat.completion`. */
export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  choices: Array<{
    index: number
    message: {
      role: 'assistant'
      content: string | null
      refusal: string | null
      reasoning_content?: string
      tool_calls?: ToolCall[]
    }
    finish_reason: FinishReason
    logprobs: any
  }>
  usage?: Usage
  system_fingerprint?: string
  /** The provider's id of the request that brought the answer. Not enumerable. */
  readonly _request_id?: string | null
  /** What all attempts have cost together, in USD; null where a price is not known. Not enumerable. */
  readonly _cost_usd?: number | null
  /** The endpoint that answered; of a continued answer, the one that finished it. Not enumerable. */
  readonly _endpoint?: string
  /** The model that was asked last, by our name for it: another than the requested one after a fallback. Not enumerable. */
  readonly _model?: string
  /** What was tried, the attempt that answered included. Not enumerable. */
  readonly _attempts?: AttemptRecord[]
  /** The session that every attempt belonged to (`x-session-id`). Not enumerable. */
  readonly _session_id?: string
}

// ---------------------------------------------------------------------------------------------
// Options
// ---------------------------------------------------------------------------------------------

/** How much a wait is varied. The clamp to `maxDelayMs` comes after it. */
export type Jitter = 'none' | 'full' | 'equal' | 'proportional' | 'decorrelated'

/** Options of one call; given to a client, they hold for all its calls. */
export interface CallOptions {
  /** Aborts the call at any moment: it rejects with `signal.reason` and its socket is closed. */
  signal?: AbortSignal
  /**
   * Headers beside the client's own, for every endpoint (what belongs to one goes into its `headers`). Refused: line breaks, and headers that the client sets itself
   * (`authorization`, `content-type`, `idempotency-key` …).
   */
  headers?: Record<string, string>
  /** Name lookup, TCP and TLS, in milliseconds. @default 10000 */
  connectTimeoutMs?: number
  /**
   * From the request being sent to the first text, reasoning, refusal or tool call, in milliseconds.
   * On the last route left (so always, with one endpoint and one model) it is five times as long:
   * cutting off has no use where there is nowhere else to go. @default 60000
   */
  firstTokenTimeoutMs?: number
  /** Whether `firstTokenTimeoutMs` is five times as long on the last route left. @default true */
  stretchLastRoute?: boolean
  /** Silence between two reads, in milliseconds. Comments and pings end it. @default 60000 */
  idleTimeoutMs?: number
  /**
   * The whole call: queue, waits and attempts, in milliseconds. No limit unless it is set. A retry that would have less
   * than 250 ms left (or a tenth of the deadline, where that is less) is not started; while other routes are left, an
   * attempt may take a share of what remains until its first token. The error says what the time went into (`spent`).
   */
  totalTimeoutMs?: number
  /**
   * Endpoints take turns: every attempt after a model's first waits as a retry does, counts as one of `maxRetries`, and
   * goes to the next endpoint. Otherwise the first try of each is free and does not wait. @default false
   */
  rotateEndpoints?: boolean
  /**
   * A second request on another route where the first token is slow to come: the first token wins, and the other request
   * is ended. It spends `retryBudget`, and costs what a request costs. See `hedge.*`. @default false
   */
  hedge?: HedgeOptions | false
  /** One attempt, to the end of its answer, in milliseconds: cuts healthy long answers too. No limit unless it is set. */
  attemptTimeoutMs?: number
  /** Models to fall back to, in order, when the requested one fails everywhere. */
  fallbackModels?: string[]
  /**
   * Retries after the first attempt, among the endpoints of one model. The first try of every further
   * endpoint or model does not count. @default 3
   */
  maxRetries?: number
  /** How retries are spaced, and which failures are retried: see `retry.*`. A call's lie on top of the client's. */
  retry?: RetryOptions
  /**
   * `strict`: an answer is complete when every choice has its finish reason. `lenient`: `[DONE]` is
   * enough, for a provider that sends no finish reasons. @default 'strict'
   */
  completion?: 'strict' | 'lenient'
  /** What happens when a stream breaks after pieces were delivered; `false` is `{ mode: 'fail' }`: see `recovery.*`. */
  recovery?: RecoveryOptions | false
  /**
   * `hold`: a tool call arrives whole, once, and a break before that asks for it again. `stream`: its deltas are passed
   * on, and a break inside a call cannot be mended. @default 'hold'
   */
  toolCalls?: 'hold' | 'stream'
  /** Join the pieces that arrive together into one `onChunk` call. @default false */
  coalesce?: boolean
  /**
   * Whose call it is, a user or a feature: whose retry budget it spends beside the client's, and whose money
   * (`cost.keyCapUsd`, `client.cost()`). 1 to 255 characters; the retry budget remembers the 1024 keys that were used last.
   */
  budgetKey?: string
  /** The idempotency key of the first request; other endpoints and models get one derived from it. */
  idempotencyKey?: string
  /**
   * The session that the attempts of a call belong to, as `x-session-id` and, for HolySheep's hosts, `session_id` in
   * the body. Without it each call has a new one.
   */
  sessionId?: string
}

/** How a broken answer is taken up again. */
export interface RecoveryOptions {
  /**
   * `continue`: the provider is asked for the rest, and what it repeats is taken off. `restart`: the answer begins anew,
   * and `onRestart` tells to drop what was shown. `fail`: a `StreamInterruptedError` with what was received.
   * @default 'continue'
   */
  mode?: 'continue' | 'restart' | 'fail'
  /**
   * How the rest is asked for. `dialog`: the partial answer as an assistant turn, then an instruction. `anchored`: the
   * same, and the last words are to be repeated and are verified. `system`: one system message that quotes the end.
   * `prefill`: the assistant turn last, for models that take it. A provider that refuses one gets another.
   * @default 'dialog'
   */
  style?: 'dialog' | 'anchored' | 'system' | 'prefill'
  /** How often one answer is taken up again. @default 5 */
  maxRecoveries?: number
  /** Code points of repetition that count as no accident; shorter ones are left in. @default 16 */
  overlapMin?: number
  /** An event that is no JSON: `recover` takes it for a break, `skip` passes it over. @default 'recover' */
  onMalformed?: 'recover' | 'skip'
  /** Needed by `mode: 'restart'` (except in `chat`): what was delivered so far is void. */
  onRestart?(): void
}

/** How retries are spaced. */
export interface RetryOptions {
  /** The form of the waits, or the waits themselves in milliseconds (the last one repeats). @default 'exponential' */
  backoff?: 'exponential' | 'linear' | 'constant' | number[]
  /** The first wait, in milliseconds. @default 1000 */
  baseDelayMs?: number
  /** No wait is shorter, in milliseconds; at most `maxDelayMs`. @default 0 */
  minDelayMs?: number
  /** No wait is longer, in milliseconds; it holds after the jitter. @default 60000 */
  maxDelayMs?: number
  /** Growth of an exponential backoff. @default 2 */
  multiplier?: number
  /** How a wait is varied, so that clients that failed together do not return together. @default 'full' */
  jitter?: Jitter
  /**
   * The longest wait that a server may ask for with `retry-after`, in milliseconds. Past it the call
   * goes to the next route or fails at once, with the wait in the error. @default 60000
   */
  maxRetryAfterMs?: number
  /**
   * What is done about a failure, laid over the default table (docs/retries.md): from a status (`429`), a code of ours or
   * of Node (`'TIMEOUT'`, `'ECONNRESET'`) or a class (`'5xx'`, `'rate-limit'`) to a decision. The most exact name wins.
   */
  retryOn?: RetryDecisionTable
  /**
   * The wait after ECONNRESET, in place of the backoff: any within a range, evenly. `true`: 1 to 3 s. Off unless set.
   */
  connectionReset?: ConnectionResetOptions | boolean
}

/** The wait after a reset connection. */
export interface ConnectionResetOptions {
  /** At least this, in milliseconds; at most `maxDelayMs`. @default 1000 */
  minDelayMs?: number
  /** At most this, in milliseconds. @default 3000 */
  maxDelayMs?: number
}

/**
 * What is done about a failure. `retry`: another attempt, with the configured backoff. `never`: the call fails now.
 * `fallback`: not this route again in this call; the next one. `delaysMs`, or the array alone: another attempt, with the
 * n-th of these waits before the n-th retry, the last one repeated, without jitter; never sooner than `retry-after`. With
 * `repeat: false` the call fails instead once so many attempts have been followed by another one.
 * For `quota` only `never` and `fallback`: a key without money is not asked again.
 */
export type RetryDecision = 'retry' | 'never' | 'fallback' | number[] | { delaysMs: number[]; repeat?: boolean }

/** The classes of failures that a decision table knows beside statuses and codes. */
export type FailureClass =
  | '4xx'
  | '5xx'
  | 'connection'
  | 'timeout'
  | 'rate-limit'
  | 'quota'
  | 'auth'
  | 'context-length'
  | 'content-filter'

/** Decisions by status (400–599), code or class. */
export type RetryDecisionTable = { [failure in FailureClass | (string & {}) | number]?: RetryDecision }

/** When a second request is made beside a slow first one. */
export interface HedgeOptions {
  /**
   * How long the first token is waited for before that, in milliseconds from the beginning of the attempt; `'p95'`: as
   * long as 95 % of the model's first tokens took, and never before 20 of them are known. @default 'p95'
   */
  afterMs?: number | 'p95'
}

/** How many retries there may be, as a share of the calls: an outage is not multiplied by those who meet it. */
export interface RetryBudgetOptions {
  /** Retries for each call. @default 0.2 */
  ratio?: number
  /** Retries a second that are there without any call. @default 10 */
  minPerSecond?: number
  /** How long calls and retries are remembered, in milliseconds. @default 10000 */
  windowMs?: number
}

/** Options of a circuit breaker. */
export interface CircuitBreakerOptions {
  /** Consecutive failures that open it. @default 5 */
  failureThreshold?: number
  /** How long it stays open before a probe is let through, in milliseconds. @default 60000 */
  timeout?: number
  /** Probes at a time while it is half-open. @default 1 */
  halfOpenMaxCalls?: number
  /** Successful probes that close it. @default 1 */
  successThreshold?: number
  /** Also open when this share of the calls in the window failed (0–1). Off unless set. */
  errorRate?: number
  /** The window of `errorRate`, in milliseconds. @default 30000 */
  windowMs?: number
  /** Calls in the window below which `errorRate` says nothing. @default 10 */
  minimumCalls?: number
  /**
   * Whether an error counts as a failure. Without it: every error of a function that `execute()` runs; in a client
   * timeouts, connection errors, truncations, 5xx and errors in the stream, but no 4xx.
   */
  isFailure?(error: unknown): boolean
  /** Told of every change of state. */
  onStateChange?(change: { from: CircuitState; to: CircuitState }): void
}

export type CircuitState = 'CLOSED' | 'OPEN' | 'HALF_OPEN'

/** Options of a limiter. */
export interface RateLimitOptions {
  /** Requests that may come at once. @default 100 */
  capacity?: number
  /** Requests a second. @default 10 */
  refillRate?: number
  /** Instead of `capacity` and `refillRate`: this many a minute, all of which may come at once. */
  requestsPerMinute?: number
  /** Model tokens a minute: estimated before a call, corrected by its usage. Off unless set. */
  tokensPerMinute?: number
  /** How many may wait; one more gets a `QueueFullError`. @default 1000 */
  maxQueue?: number
  /**
   * Follow the provider's `x-ratelimit-*` and `anthropic-ratelimit-*` headers: they lower the limits, never raise them. A
   * provider whose limit comes back bit by bit is followed at its rate, another is waited for until its reset.
   * @default false
   */
  followServer?: boolean
}

/** What the calls of a client may cost. An upper bound is reserved before each attempt: see docs/cost.md. */
export interface CostOptions {
  /** Prices in USD for a million tokens, by model, beside those of the catalogue. */
  prices?: Record<string, { input: number; output: number }>
  /**
   * What all calls together may cost in a window, in USD. A call whose bound does not fit gets a `CostCapError` before
   * anything is sent; one without `max_tokens` runs against what is left, and is cut there. The one exception: a provider that counts more tokens
   * than the bound allows for can put the ledger past it. No cap unless set.
   */
  hardCapUsd?: number
  /** The same for the calls of each `budgetKey`, in USD. No cap unless set. */
  keyCapUsd?: number
  /**
   * When this much is spent in a window, in USD: a `soft-limit` event, and from then on the cheapest of the requested
   * model and `fallbackModels` is tried first. Off unless set.
   */
  softLimitUsd?: number
  /** The windows, which begin at UTC boundaries; `total` never ends. @default 'day' */
  window?: 'minute' | 'hour' | 'day' | 'month' | 'total'
  /**
   * Counts the tokens of a prompt's text, instead of the rule by script. Called once a call for each model of its
   * chain, synchronously. What it throws, the call throws.
   */
  countTokens?(model: string, text: string): number
  /** Told when `softLimitUsd` is reached, once a window. */
  onSoftLimit?(event: Extract<ClientEvent, { type: 'soft-limit' }>): void
}

/** What was spent, as `client.cost()` reports it. */
export interface CostReport {
  window: 'minute' | 'hour' | 'day' | 'month' | 'total'
  /** When the window began, in epoch milliseconds; of `total`, when the client was made. */
  since: number
  spentUsd: number
  /** By calls under way, where `cost` is set. */
  reservedUsd: number
  capUsd: number | null
  /** Past 10,000 keys and 256 models the rest shares one line, `(others)`. */
  byKey: Record<string, { spentUsd: number; reservedUsd: number }>
  byModel: Record<string, { spentUsd: number; reservedUsd: number }>
}

/** A provider. Its key and headers go to it and to no other host. */
export interface Endpoint {
  /** How results, errors and events name it; by default its host and port. */
  name?: string
  /** A URL up to and including `/v1`, or a bare host. */
  baseUrl: string
  /** Without it no `authorization` header is sent: the client's own key goes to no endpoint that is an object. */
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

/** What is known of a model. What is not there is not known. */
export interface ModelInfo {
  /** Prompt and answer together, in tokens. */
  contextTokens?: number | null
  /** The longest answer, in tokens. */
  maxOutputTokens?: number | null
  /** USD for a million tokens of the prompt. */
  inputUsdPerMillion?: number | null
  /** USD for a million tokens of the answer. */
  outputUsdPerMillion?: number | null
}

/** A model as its provider lists it. */
export interface ProviderModel {
  id: string
  [field: string]: unknown
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
   * answers is used again at once, without waiting for its breaker's `timeout`.
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
  /**
   * Where events are logged: `console`, pino or the like. Attempts at `debug`, waits at `info`, failed attempts,
   * fallbacks, recoveries and opening breakers at `warn`, failed calls at `error`. What it throws becomes a process warning.
   */
  logger?: Logger | false
  /** Told of attempts, waits, fallbacks and breaker changes, as they happen. An error that it throws becomes a process warning. */
  onEvent?(event: ClientEvent): void
}

/**
 * What a client reports. `call` names a call. `requestId` is the id of an attempt as it was sent (`x-client-request-id`):
 * of the one that the event is about, or of the last one before it; without one there was none yet.
 */
export type ClientEvent =
  | {
      type: 'attempt'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      reason: 'first' | 'retry' | 'fallback' | 'hedge'
    }
  | {
      type: 'first-token'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      afterMs: number
    }
  | {
      type: 'attempt-failed'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      /** The name of the error's class. */
      class: string
      /** The provider's own id of the request, where it sent one. */
      providerRequestId?: string
      code: string
      status?: number
      message: string
      durationMs: number
    }
  /** Two attempts ran beside each other (`hedge`), and the other one had its first token first. */
  | {
      type: 'hedge-lost'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      /** The hedge has lost; otherwise the attempt that it was made for. */
      hedge: boolean
      durationMs: number
    }
  | { type: 'wait'; call: string; requestId?: string; ms: number; reason: WaitReason }
  | { type: 'retry-budget'; call: string; requestId?: string; budget: 'client' | 'key' }
  | {
      type: 'fallback'
      call: string
      requestId?: string
      endpoint: string
      model: string
      fromEndpoint: string
      fromModel: string
    }
  | {
      type: 'recovery'
      call: string
      requestId?: string
      count: number
      received: number
      endpoint: string
      model: string
      waitMs: number
    }
  | {
      type: 'circuit'
      /** None where a probe (`healthCheckMs`) did it: that is told with the next call. */
      call?: string
      requestId?: string
      endpoint: string
      model: string
      from: CircuitState
      to: CircuitState
    }
  | {
      type: 'soft-limit'
      call: string
      requestId?: string
      window: string
      since: number
      softLimitUsd: number
      spentUsd: number
    }
  | {
      type: 'complete'
      call: string
      requestId?: string
      attempts: number
      endpoint: string
      model: string
      durationMs: number
    }
  | {
      type: 'failed'
      call: string
      requestId?: string
      attempts: number
      code: string
      message: string
      durationMs: number
    }

export type WaitReason = 'backoff' | 'retry-after' | 'rate-limit' | 'queue'

/** What one attempt was and how it ended. */
export interface AttemptRecord {
  /** 1-based. */
  attempt: number
  endpoint: string
  /** The model that was asked, by our name for it. */
  model: string
  /** The provider's id of the request where it sent one, else ours (`x-client-request-id`). */
  requestId: string
  /**
   * `complete`, the code of the error that ended it, or `hedge-lost`: given up because the attempt beside it had its first
   * token first (`hedge`). Attempts stand in the order in which they ended.
   */
  outcome: string
  status?: number
  message?: string
  /** How long the call waited before it, in milliseconds. */
  waitedMs: number
  durationMs: number
  firstTokenMs?: number
  /** Pieces of text that it brought. */
  pieces: number
}

/** What a probe of an endpoint has found. */
export interface EndpointHealth {
  endpoint: string
  /** It answered with success, or does not know the path (404, 405, 501), which not every endpoint has. */
  healthy: boolean
  status?: number
  latencyMs: number
  /** The `code` and the message of the error. */
  code?: string
  error?: string
}

/** What a client has counted since it was made. */
export interface Metrics {
  /** Calls that have begun: `successes + failures + aborted + inFlight`. */
  calls: number
  inFlight: number
  successes: number
  failures: number
  /** Calls that their caller ended. */
  aborted: number
  /** Answers before which an attempt failed. */
  successAfterRetry: number
  /** Failed calls by the `code` of their error. */
  failuresByCode: Record<string, number>
  /** Requests that were sent. */
  attempts: number
  /** Tries on a route that had its first try in the same call. */
  retries: number
  /** Retries by the code of the failure before them. */
  retriesByCause: Record<string, number>
  /** First tries of another endpoint or model within a call. */
  fallbacks: number
  /** Second requests beside a slow first one, and those of them whose first token came first. */
  hedges: number
  hedgeWins: number
  /** Broken answers that were taken up again. */
  recoveries: number
  circuitOpenings: number
  /** Waits by reason. */
  waits: Partial<Record<WaitReason, number>>
  /** Time that calls waited before their attempts, in milliseconds. */
  waitedMs: number
  /** Tokens as the providers counted them. */
  tokensIn: number
  tokensOut: number
  costUsd: number
  /** At most 256; what comes later is counted in one route whose endpoint and model are `other`. */
  routes: RouteMetrics[]
  /** The breakers of the models that were asked for, at most 256. */
  breakers: Array<{ endpoint: string; model: string; state: CircuitState }>
}

/** What was counted for one model at one endpoint. */
export interface RouteMetrics {
  endpoint: string
  model: string
  attempts: number
  failures: number
  /** Failed attempts by the `code` of their error; `ABORTED` is the caller's doing. */
  failuresByCode: Record<string, number>
  tokensIn: number
  tokensOut: number
  costUsd: number
  /** From the beginning of an attempt to its first token; one that lost to its hedge counts with the time it had waited. */
  firstTokenMs: TimeHistogram
  /** How long attempts took, failed ones too. */
  durationMs: TimeHistogram
}

/** Times in milliseconds. The quantiles are estimated from the buckets; null without a time. */
export interface TimeHistogram {
  count: number
  sum: number
  p50: number | null
  p95: number | null
  p99: number | null
  /** How many times were at most `le`, in ascending order. What is above the last bound is only in `count`. */
  buckets: Array<{ le: number; count: number }>
}

// ---------------------------------------------------------------------------------------------
// The client
// ---------------------------------------------------------------------------------------------

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
  constructor(apiKey: string, options?: number | ClientOptions)
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
   * Probes each endpoint now, one after the other: `GET /models` with its own key, within 5 s. What it answers counts
   * for the health of its routes (`routing: 'score'`), and closes a breaker that was open.
   */
  healthCheck(): Promise<EndpointHealth[]>

  /** What the client has counted since it was made. */
  metrics(): Metrics

  /** The same in Prometheus' text format 0.0.4 (`content-type: text/plain; version=0.0.4`). */
  metricsText(): string

  /** Ends what is in flight (`code: 'CLIENT_CLOSED'`) and refuses what comes later. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** What `ChatStream.result` resolves to. */
export interface StreamResult {
  /** The text of the first choice: the sum of its pieces. */
  text: string
  reasoning?: string
  refusal?: string
  toolCalls?: ToolCall[]
  finishReason: FinishReason | null
  usage: Usage | null
  /** The provider's id of the answer, and when it was made (epoch seconds): those of its first chunk. */
  id: string | null
  created: number | null
  /** The model that answered, as the provider names it. */
  model: string
  endpoint: string
  requestId: string
  attempts: AttemptRecord[]
  /** How often the answer was taken up again after a break. */
  recoveries: number
  /** Who wrote which part of the text, in order. */
  parts: Part[]
  /** How each continuation was joined to what was delivered. */
  seams: Seam[]
  /** The session that every attempt belonged to (`x-session-id`). */
  sessionId: string
  /**
   * What all attempts have cost together, in USD: by their usage, and where none came by what was sent and received,
   * reckoned high. Null where the price of a model is not known.
   */
  costUsd: number | null
}

/** Who wrote a part of an answer, and how long it is in code points. */
export interface Part {
  endpoint: string
  model: string
  characters: number
}

/**
 * What a stream has come to: plain data, to be stored as JSON and taken up again with `client.resume`, in this
 * process or another. It holds no key.
 */
export interface Snapshot {
  version: 1
  /** Every attempt of the answer belongs to it, the resumed ones too. */
  sessionId: string
  /** The request, unless the snapshot was taken with `{ messages: 'hash' }`. */
  request?: ChatRequest
  /** SHA-256 of the JSON of the messages: an answer is resumed with the messages that it answers. */
  messagesSha256: string
  /** What was received. From `stream.snapshot()` its text ends with the last piece that the reader has taken. */
  answer: {
    id?: string
    created?: number
    model?: string
    systemFingerprint?: string
    serviceTier?: string
    text: string
    reasoning?: string
    refusal?: string
    finishReason?: FinishReason
    /** The answer is whole: to resume it asks nobody. */
    complete?: boolean
    /** The tool calls of an answer that is whole. */
    toolCalls?: Array<{ id: string; name: string; arguments: string }>
    /** A tool call had begun and broke off: it is asked for again. */
    lostToolCall?: boolean
    pieces: number
  }
  /** The sum over the attempts that reported it. */
  usage?: Usage
  /** What these attempts have cost, in USD; null where a price is not known. */
  costUsd: number | null
  attempts: AttemptRecord[]
  recoveries: number
  parts: Part[]
  seams: Seam[]
}

export interface SnapshotOptions {
  /**
   * `full`: the request is part of the snapshot. `hash`: only a hash of its messages is, and `resume` needs the
   * request again.
   * @default 'full'
   */
  messages?: 'full' | 'hash'
}

/** How a continuation was joined. */
export interface Seam {
  /** What the continuation turned out to be. */
  kind: 'exact' | 'overlap' | 'word' | 'restart' | 'anchor'
  /** Code points that were taken off because they were delivered already. */
  trimmed: number
  /** From the first character of the continuation to the choice, in milliseconds. */
  heldMs: number
  /** The choice was made at the limit of what is held, in characters or in time. */
  atBound: boolean
}

/**
 * One streamed answer. It is read once: as chunks (`for await`), as text (`textStream`) or in one
 * piece (`text()`); `result` goes with each of them. Leaving a loop early aborts the call.
 */
export class ChatStream implements AsyncIterable<ChatCompletionChunk> {
  private constructor()
  [Symbol.asyncIterator](): AsyncIterator<ChatCompletionChunk, undefined>
  /** The text of the first choice, piece by piece. */
  readonly textStream: AsyncIterable<string>
  /** How it went. Nobody has to listen: a failure causes no `unhandledRejection`. */
  readonly result: Promise<StreamResult>
  /** The whole text. */
  text(): Promise<string>
  /** Ends the call; everything that waits rejects with `reason` (by default an `AbortError`). */
  abort(reason?: unknown): void
  /**
   * What the stream has come to, at any moment, also after it was aborted or has failed. Its text is what the reader
   * has taken; where nobody reads pieces (`text()`, `result`), all that was received.
   */
  snapshot(options?: SnapshotOptions): Snapshot
}

// ---------------------------------------------------------------------------------------------
// Circuit breaker and rate limiter
// ---------------------------------------------------------------------------------------------

/**
 * A circuit breaker. By hand (`canExecute`, `recordSuccess`, `recordFailure`: synchronous), around a
 * function (`execute`), or in a client (`circuitBreaker: breaker`): one state machine.
 */
export class CircuitBreaker {
  constructor(failureThreshold?: number, timeout?: number)
  constructor(options?: CircuitBreakerOptions)
  /** Consecutive failures that open it. Writable. */
  failureThreshold: number
  /** How long it stays open, in milliseconds. Writable. */
  timeout: number
  halfOpenMaxCalls: number
  successThreshold: number
  /** Consecutive failures so far. Writable. */
  failures: number
  /** When the last failure was recorded, in epoch milliseconds. Writable. */
  lastFailureTime: number | null
  state: CircuitState
  /** The judgement that it was made with. */
  readonly isFailure: ((error: unknown) => boolean) | undefined
  /** Told of every change of state. */
  onStateChange: ((change: { from: CircuitState; to: CircuitState }) => void) | undefined
  /** Asks for a place. While half-open it admits `halfOpenMaxCalls` at a time. */
  canExecute(): boolean
  recordSuccess(): void
  recordFailure(): void
  /** Successes among the last 10 calls, 0–100; 100 when there were none. */
  getHealthScore(): number
  /**
   * Runs `fn` if the breaker admits it. A call from before an opening changes nothing when it ends late.
   * @throws CircuitOpenError with `retryAfterMs` where it does not; else what `fn` throws.
   */
  execute<T>(fn: () => T | PromiseLike<T>): Promise<T>
  open(): void
  close(): void
  reset(): void
}

/** A client every attempt of which passes its bucket, retries included. */
export class RateLimitedClient extends HolySheepStreamingClient {
  /** @param options `capacity`, `refillRate` and the other limits may stand beside the client's options. */
  constructor(apiKey: string, options?: number | (ClientOptions & RateLimitOptions))
  constructor(options?: ClientOptions & RateLimitOptions)
  /** What the bucket holds when it is full. Writable. */
  capacity: number
  /** What is in the bucket; it starts full. Writable. */
  tokens: number
  /** Tokens a second. Writable. */
  refillRate: number
  /** When the bucket was last refilled, in epoch milliseconds. Writable. */
  lastRefill: number
  /** Takes a token at once: true, or false where there is none or others wait for one. */
  acquireToken(): Promise<boolean>
  /** Waits for tokens in a bounded first-in-first-out queue. @throws QueueFullError, TimeoutError. */
  acquire(options?: { tokens?: number; signal?: AbortSignal; timeoutMs?: number }): Promise<void>
  /** Adds what has come since the last refill. */
  refill(): void
  /**
   * For a 429: waits as long as it asks (60 s where it does not say) and resolves to true. For any
   * other status: false, at once.
   * @param response A fetch `Response`, a Node message, or `{ status, headers }`.
   */
  handleRateLimit(response: object): Promise<boolean>
}

// ---------------------------------------------------------------------------------------------
// Errors
// ---------------------------------------------------------------------------------------------

/**
 * The base of all errors of this package. `code` is stable:
 * `INVALID_REQUEST`, `CONTEXT_LENGTH_EXCEEDED`, `CONTENT_FILTERED`, `AUTH_FAILED`, `RATE_LIMITED`,
 * `QUOTA_EXHAUSTED`, `SERVER_ERROR`, `REDIRECTED`, `TIMEOUT`, `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND`,
 * `EHOSTUNREACH`, `ERR_TLS`, `ECONNFAILED`, `CIRCUIT_OPEN`, `STREAM_INTERRUPTED`, `STREAM_TRUNCATED`,
 * `MALFORMED_RESPONSE`, `RESPONSE_TOO_LARGE`, `RETRIES_EXHAUSTED`, `QUEUE_FULL`, `RATE_LIMIT_NEVER_FITS`,
 * `COST_CAP`, `CLIENT_CLOSED`, `INTERNAL`.
 */
export class HolySheepError extends Error {
  readonly code: string
  /** The HTTP status, where there was one. */
  readonly status?: number
  /** How long to wait before another try, where that is known, in milliseconds. */
  readonly retryAfterMs?: number
  /** What was tried. */
  readonly attempts: AttemptRecord[]
  /** The text that had been received for the first choice. */
  readonly partial?: string
  /** What `client.resume` goes on from, where something had been received. Not enumerable: logs do not spread it. */
  readonly snapshot?: Snapshot
  /** The provider's id of the last request where it sent one, else ours. */
  readonly requestId?: string
  /** What the provider said of itself: its `error.type`, `error.code`, `error.param`. */
  readonly type?: string
  readonly providerCode?: string
  readonly param?: string
  /** The start of the response's body, at most 2 KiB. */
  readonly body?: string
}
/** The provider refused the request or failed: 4xx, 5xx, an error inside a stream. */
export class APIError extends HolySheepError {}
/** 401 or 403. */
export class AuthenticationError extends APIError {}
/** 429. `code` is `QUOTA_EXHAUSTED` where waiting does not help. */
export class RateLimitError extends APIError {}
/** A stage took too long. */
export class TimeoutError extends HolySheepError {
  readonly phase: 'connect' | 'first-token' | 'idle' | 'attempt' | 'total' | 'queue'
  /** With `phase: 'total'`: what the time of the call went into, in milliseconds. */
  readonly spent?: { queueMs: number; waitMs: number; attemptMs: number }
}
/** No connection, or it broke before an answer came. `code` is Node's (`ECONNRESET` …). */
export class ConnectionError extends HolySheepError {}
/** The breaker of every route that is left is open; `cause` is the failure that opened it during the call, if one did. */
export class CircuitOpenError extends HolySheepError {}
/** The answer broke off; `partial` is what was received. */
export class StreamInterruptedError extends HolySheepError {}
/** What came is no answer: HTML, JSON where a stream was asked for, broken or boundless events. */
export class MalformedResponseError extends HolySheepError {}
/** Every attempt failed; `cause` is the last error. */
export class RetriesExhaustedError extends HolySheepError {}
/** The call does not fit under a cap, or was cut off there; `partial` is what was received. Figures in USD. */
export class CostCapError extends HolySheepError {
  readonly capUsd: number
  readonly spentUsd: number
  /** By calls under way, this one too where it was cut off. */
  readonly reservedUsd: number
  readonly neededUsd: number
  readonly window: 'minute' | 'hour' | 'day' | 'month' | 'total'
}
/** Too many wait already, or the call can never pass the limiter. */
export class QueueFullError extends HolySheepError {}

/**
 * The built-in catalogue: context and output limits and prices by model. It ages; the `models` option adds to it.
 * Each call gives a copy of its own.
 */
export function catalogue(): Record<string, ModelInfo>

export type Complexity = 'simple' | 'moderate' | 'complex'

/**
 * How hard a question is, from what the user says (system and assistant messages do not count): `complex` with two of
 * the keywords ("phân tích", "so sánh", "analyze", "compare" …) or more than 500 characters, `moderate` with one or more
 * than 150, else `simple`. Case and the Unicode form of accents do not matter. @throws TypeError for what is no array
 * of messages.
 */
export function classifyComplexity(messages: ChatRequest['messages']): Complexity

export * from './systems'
export type { AttemptTrace, CallTrace, Logger, TracedResult } from './types/observability'

/** The version of this package. */
export const version: string
