/** Options of one call. */
import type { RetryOptions } from './retry-options.js'

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

/** When a second request is made beside a slow first one. */
export interface HedgeOptions {
  /**
   * How long the first token is waited for before that, in milliseconds from the beginning of the attempt; `'p95'`: as
   * long as 95 % of the model's first tokens took, and never before 20 of them are known. @default 'p95'
   */
  afterMs?: number | 'p95'
}
