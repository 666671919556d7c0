/** Options of one call. */
import type { RetryOptions } from './retry-options.js'

/** Options of one call. Given to a client, they apply to all its calls. */
export interface CallOptions {
  /** Aborts the call at any point: it rejects with `signal.reason`, and its socket is closed. */
  signal?: AbortSignal
  /**
   * Headers sent to every endpoint in addition to the client's own. Headers for one endpoint belong in that endpoint's
   * `headers`. Line breaks and headers that the client sets itself (`authorization`, `content-type`, `idempotency-key` …)
   * are rejected.
   */
  headers?: Record<string, string>
  /**
   * Time limit for DNS lookup, TCP and TLS, in milliseconds, and before that for a file descriptor or a local port, if this
   * process has none left (then `LOCAL_RESOURCE`). @default 10000
   */
  connectTimeoutMs?: number
  /**
   * Time limit from sending the request to the first text, reasoning, refusal or tool call, in milliseconds. A value that
   * you set applies unchanged to every route; only an attempt on a route that has just been silent gets less (docs/retries.md). Only the default is longer on the last remaining route (always the case with
   * one endpoint and one model): 120000, because there is nowhere else to go. With `totalTimeoutMs`, while other routes are
   * left, an attempt's share of the remaining time applies if it is shorter. @default 60000
   */
  firstTokenTimeoutMs?: number
  /**
   * Replaces `firstTokenTimeoutMs` for answers that are not streamed (`createFetch`): their headers arrive only once the
   * whole answer has been generated. In milliseconds. @default 300000
   */
  wholeAnswerTimeoutMs?: number
  /** The longest silence between two reads, in milliseconds. Comments and pings reset it. @default 60000 */
  idleTimeoutMs?: number
  /**
   * The fewest tokens per second of an answer, measured over the last 10 seconds after its first token: 0.1 to 10000. A slower
   * answer is left like one that stalls (a `TimeoutError` of the phase `throughput`): it goes on at another route, or at the
   * same one if there is no other. Text, reasoning and tool calls count, as estimated from their characters and at least
   * one token each; time in which your code reads nothing does not. `false`: no minimum. @default false
   */
  minTokensPerSecond?: number | false
  /**
   * How long a call may be paused because its consumer reads nothing, in milliseconds. A call is paused while too many deltas
   * wait for its reader or callback; each delta that is taken begins the time again. Then the call ends with a `TimeoutError`
   * of the phase `paused`, and its connection is closed; what had arrived can still be read. A paused call does not keep
   * the process alive. `false`: no limit. @default 600000
   */
  maxPausedMs?: number | false
  /**
   * How long after the last finish reason `result` (and a stream of chunks that requested it) waits for the usage, in
   * milliseconds. The text is complete earlier: at `[DONE]`, at the end of the body, or a second after the last finish
   * reason. At most 10000. @default 1000
   */
  usageTimeoutMs?: number
  /** The largest event of a stream, in bytes: 1024 to 67108864. A larger one fails with `RESPONSE_TOO_LARGE`. @default 16777216 */
  maxEventBytes?: number
  /**
   * The most that a call keeps of its answer, in bytes of memory: from `maxEventBytes` to 536870912. Beyond it the call fails
   * with `ANSWER_TOO_LARGE`. `chat` and `text()` keep everything. A stream that is read in parts passes on everything else
   * and keeps tool calls and, for `result`, its text; a longer text is read to its end, and only `result` fails. A value other
   * than a text takes more memory than its JSON. @default 67108864
   */
  maxAnswerBytes?: number
  /**
   * Accepts an answer without text, reasoning, refusal and tool call. Otherwise it is requested once more, on the next route
   * if there is one, and then fails with `EMPTY_ANSWER`. After the result of a tool an empty answer is always accepted.
   * @default false
   */
  allowEmptyAnswer?: boolean
  /**
   * Time limit for the whole call, including queueing, waits and attempts, in milliseconds. No limit by default. A retry
   * that would have less than 250 ms left (or a tenth of the deadline, whichever is less) is not started; while other
   * routes are left, an attempt gets only a share of the remaining time until its first token. The error's `timeBreakdown`
   * shows where the time went.
   */
  totalTimeoutMs?: number
  /**
   * Endpoints take turns: every attempt after a model's first one waits like a retry, counts toward `maxRetries`, and
   * goes to the next endpoint. Otherwise the first try of each endpoint is immediate and does not count. @default false
   */
  rotateEndpoints?: boolean
  /**
   * Sends a second request on another route when the first token is slow: the first token wins, and the other request is
   * aborted. A hedge spends `retryBudget` and costs as much as any request. See `hedge.*`. @default false
   */
  hedge?: HedgeOptions | false
  /**
   * Time limit for one attempt, to the end of its answer, in milliseconds. It also cuts off long answers that are healthy.
   * No limit by default.
   */
  attemptTimeoutMs?: number
  /** Models to fall back to, in order, when the requested one fails everywhere. */
  fallbackModels?: string[]
  /**
   * Retries after the first attempt, among the endpoints of one model. Failing over to another endpoint or model is
   * immediate and does not count. @default 3
   */
  maxRetries?: number
  /** How retries are spaced, and which failures are retried: see `retry.*`. Merged over the client's. */
  retry?: RetryOptions
  /**
   * Whether every choice needs a finish reason for the answer to count as complete. `false`, for a provider that sends no
   * finish reasons: `[DONE]` is enough. @default true
   */
  requireFinishReason?: boolean
  /** What happens when a stream breaks after text was delivered; `false` is `{ mode: 'fail' }`: see `recovery.*`. */
  recovery?: RecoveryOptions | false
  /**
   * `buffer`: tool calls are buffered until complete, and one that is interrupted is requested again. `stream`: their deltas
   * are passed on, and a break inside a tool call is final. @default 'buffer'
   */
  toolCalls?: 'buffer' | 'stream'
  /** Joins text that arrives together into one `onChunk` call. @default false */
  coalesce?: boolean
  /**
   * Who the call is made for, for example a user or a feature: the retry budget it spends in addition to the client's, and
   * the spending it counts toward (`cost.tenantCapUsd`, `client.cost()`). 1 to 255 characters. The retry budget remembers
   * the 1024 most recently used tenants.
   */
  tenant?: string
  /** The idempotency key of the first request. Keys for other endpoints and models are derived from it. */
  idempotencyKey?: string
  /**
   * The session of the call's attempts; `sendSessionId` determines where it is sent. A new one for each call by default.
   */
  sessionId?: string
}

/** How a broken answer is recovered. */
export interface RecoveryOptions {
  /**
   * `continue`: the provider is asked for the rest, and duplicate text is removed. `restart`: the answer starts over, and
   * `onRestart` signals that the text so far is void. `fail`: a `StreamInterruptedError` with what was received.
   * @default 'continue'
   */
  mode?: 'continue' | 'restart' | 'fail'
  /**
   * How a model is asked for the rest first; the others follow if it is rejected or fails a check. `anchored`: the partial
   * answer as an assistant message, then an instruction to repeat its last words. `dialog`: the same, without them. `system`: one
   * system message that quotes the end. `repeat`: the partial answer in a user message, with which the model begins again. `auto`:
   * in the order anchored, system, dialog, repeat. @default 'auto'
   */
  style?: 'auto' | 'anchored' | 'dialog' | 'system' | 'repeat'
  /**
   * What must vouch for a continuation before it is delivered. `native`: the provider itself continues the answer.
   * `verified`: that, or the continuation repeats words of the answer, or fits so that only the next words of it do. `any`:
   * nothing. Where nothing vouches for it, the rest is requested in another way, and at last the call fails with a
   * `StreamInterruptedError`. @default 'verified'
   */
  assurance?: 'native' | 'verified' | 'any'
  /**
   * What happens when a stream breaks of which nothing was delivered, because the caller waits for the complete answer
   * (`chat`, `text()`, `createFetch` without `stream`). `auto`: a provider that continues the answer itself continues it
   * (`continuation`); elsewhere it is requested again. `restart`: it is requested again. `continue`: it is continued as if it
   * had been delivered. @default 'auto'
   */
  buffered?: 'auto' | 'restart' | 'continue'
  /** How many times one answer is recovered. @default 5 */
  maxRecoveries?: number
  /** The minimum overlap to treat as a repeat, in code points. A shorter one vouches for nothing. @default 16 */
  minOverlap?: number
  /**
   * The most that is kept of an answer to continue it, in bytes of memory, up to 536870912. A larger answer goes on without
   * recovery, which a `recovery-disabled` event reports, and has no snapshot. @default 8388608
   */
  maxBytes?: number
  /** An event that is not JSON: `recover` treats it as a break, `skip` ignores it. @default 'recover' */
  onMalformed?: 'recover' | 'skip'
  /** Required by `mode: 'restart'` (except in `chat`): the text delivered so far is void. */
  onRestart?(): void
}

/** When to send a second request alongside a slow first one. */
export interface HedgeOptions {
  /**
   * How long to wait for the first token before hedging, in milliseconds from the start of the attempt; `'p95'`: the 95th
   * percentile of the model's first-token times, once 20 of them are known. @default 'p95'
   */
  afterMs?: number | 'p95'
}
