/// <reference lib="esnext.disposable" />
/**
 * An OpenAI-compatible provider that misbehaves on request: for the demo, for tests of applications,
 * and for benchmarks. It answers chat completions, OpenAI's Responses and Anthropic's Messages, and
 * listens on loopback unless told otherwise. A request can bring a scenario of its own, as JSON in the
 * header `x-simulate`.
 */

/** One request's script. Everything is optional and can be combined. */
export interface Scenario {
  /** A name that the recorded request carries. */
  label?: string
  /** The seed for ids and piece sizes of this answer; by default the simulator's. */
  seed?: number
  /** The status of the reply, 200–599; without a body an error in OpenAI's shape fits it. */
  status?: number
  /** Headers that are added, or that replace those of the same name. */
  headers?: Record<string, string | string[]>
  /** The whole body in place of an answer; a string as it is, anything else as JSON. */
  body?: unknown
  /** `retry-after`, in seconds. */
  retryAfter?: number
  /** `retry-after` as the HTTP date so many seconds from now. */
  retryAfterDate?: number
  /** `retry-after-ms`, in milliseconds. */
  retryAfterMs?: number
  /** A gateway's HTML page in place of an answer. */
  html?: boolean
  /** A plain JSON completion where a stream was asked for. */
  jsonInstead?: boolean
  /** The size in bytes to which the response head is padded. */
  headerBytes?: number
  /** A TCP reset before any response byte. */
  connectReset?: boolean
  /** A clean close before any response byte. */
  closeBeforeHeaders?: boolean
  /** Never answers. */
  silent?: boolean
  /** The wait before the head, in milliseconds. */
  delayHeadersMs?: number
  /** The wait between head (and role) and the first piece, in milliseconds. */
  delayFirstTokenMs?: number
  /** The wait between two pieces, in milliseconds. */
  paceMs?: number
  /** Whether a chunk with the bare role comes first; default true. */
  roleFirst?: boolean
  /** The answer as exact pieces. Excludes `text`. */
  pieces?: string[]
  /** The answer; the seed splits it into pieces. */
  text?: string
  /** The size of a piece in characters; by default the seed chooses 1 to 8. */
  pieceChars?: number
  /** The number of pieces, for benchmarks. */
  repeat?: number
  /**
   * Each piece of `repeat` is the time at which it is written: the last nine digits of the microseconds since 1970,
   * and a space; default false.
   */
  stamp?: boolean
  /** Sent as `reasoning_content` before the answer. */
  reasoning?: string
  /** Sent as `refusal`. */
  refusal?: string
  /** Sent after the text, in fragments. */
  toolCalls?: Array<{ id?: string; name: string; arguments?: unknown }>
  /** Default `stop`, or `tool_calls` when there are any. */
  finishReason?: string
  /** Pings while the stream waits or stalls. */
  pings?: { everyMs?: number; style?: 'comment' | 'event' }
  /** Where and how the answer is cut. */
  cut?: {
    afterPieces?: number
    /** Bytes of the body: also inside a character. */
    afterBytes?: number
    how?: 'reset' | 'close' | 'stall' | 'errorEvent' | 'errorEventNamed' | 'malformed' | 'done' | 'noFinish'
    /** The error object of an error event. */
    error?: unknown
  }
  /** Whether `[DONE]` ends the stream; default true. */
  done?: boolean
  /** Whether there is a finish reason; default true. */
  finish?: boolean
  /** Whether usage is sent, or which; by default when it is asked for. */
  usage?: boolean | object
  usageInLastChunk?: boolean
  usageDelayMs?: number
  /** A 400 for a request with `stream_options`. */
  refuseStreamOptions?: boolean
  /** A 400 for a request whose last message is the assistant's. */
  refusePrefill?: boolean
  /** A 400 for a request that ends with a system message and has others. */
  refuseSystemTail?: boolean
  /** How lines end; default `lf`. */
  lineEnd?: 'lf' | 'crlf' | 'cr'
  /** Bytes a write: one event, one byte, or a number; by default up to 16 KiB. */
  packets?: 'whole' | 'bytes' | number
  /** Whether an HTTP/1.1 stream is chunked, or ends with the connection; default true. */
  chunked?: boolean
  /** Whether the connection stays open; default true. */
  keepAlive?: boolean
  /** What a request to continue the answer gets; default `exact`. */
  onContinue?: 'exact' | 'overlap' | 'restart' | 'different' | 'word'
  /** How many characters `overlap` sends again. */
  overlapChars?: number
}

export interface SimulatorOptions {
  /** Default `127.0.0.1`. */
  host?: string
  /** Default 0: any free port. */
  port?: number
  /** Makes ids and piece sizes; default 1. */
  seed?: number
  /** TLS with HTTP/2, with a certificate made at start; default false. */
  tls?: boolean
  /** The answer of requests whose scenario gives none. */
  answer?: string
  models?: string[]
  /** When set, another key gets a 401. */
  apiKey?: string
  /**
   * A bucket of chat requests for each key. Every answer tells what is left (`x-ratelimit-*`); beyond it comes a 429 with
   * `retry-after-ms`, which takes no scenario and is recorded as `rate-limit`. Off unless set.
   */
  rateLimit?: {
    /** Requests that may come at once; default 100. */
    capacity?: number
    /** Requests a second; default 10. */
    refillPerSecond?: number
  }
  /** How many requests are recorded; default 10000. */
  recordLimit?: number
  /** The scenario of requests for which nothing is scripted. */
  default?: Scenario
}

/** One request as the provider saw it. */
export interface RecordedRequest {
  index: number
  /** Since the start, in milliseconds. */
  atMs: number
  epochMs: number
  method: string
  path: string
  /** Names in lower case. */
  headers: Record<string, string>
  /** As it came. */
  body: string
  /** The body parsed, or null. */
  json: any
  scenario: string | null
  protocol: 'http/1.1' | 'h2'
  connection: number
  endedBy: 'complete' | 'client' | 'cut' | 'open'
  bytesSent: number
}

export class Simulator implements AsyncDisposable {
  private constructor()
  /** The base URL, up to and including `/v1`. */
  readonly url: string
  readonly port: number
  /** With `tls`: the certificate to trust, in PEM. */
  readonly certificate: string | null
  readonly openConnections: number
  /** What was asked so far. */
  readonly requests: RecordedRequest[]
  /** Scenarios for the next requests, one each, in order. */
  script(...scenarios: Scenario[]): this
  /** The scenario of requests for which nothing is scripted. */
  setDefault(scenario: Scenario): this
  /** Forgets the recorded requests; what is scripted stays. */
  clear(): void
  /** Forgets the recorded requests and what is scripted. */
  reset(): void
  /** Stops listening and drops every connection. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a simulator in this process, off the event loop. It does not keep the process alive. */
export function startSimulator(options?: SimulatorOptions): Promise<Simulator>

export interface TestClockOptions {
  /**
   * How long nothing must have happened before a call that waits for its socket counts as at rest, in real milliseconds;
   * default 250. A call that waits for time alone counts so at once.
   */
  settleMs?: number
}

/**
 * The time of the clients of this JavaScript thread, standing still until a test moves it: waits between attempts, limits,
 * breakers, timeouts, deadlines, windows of costs. Sockets have their own time, and so have the simulator's own delays and
 * JavaScript's timers.
 */
export class TestClock implements Disposable {
  private constructor()
  /** How far it was moved, in milliseconds. */
  readonly elapsedMs: number
  /** What it shows, in epoch milliseconds. It begins at the present. */
  readonly now: number
  /**
   * Moves on by so many milliseconds, from one wait's end to the next: calls that come to something in between run until
   * they are at rest again, also before the first step and after the last.
   */
  advance(ms: number): Promise<void>
  /** Moves on to the end of the next wait, again and again, until the promise is settled. Resolves or rejects as it does. */
  runUntil<T>(promise: PromiseLike<T>): Promise<T>
  /** Lets time go on by itself: calls that wait go on in real time. Clients that have followed the clock are best made anew. */
  restore(): void
  [Symbol.dispose](): void
}

/** Stops the time of this thread's clients, breakers and limiters. One that was there before is restored. */
export function testClock(options?: TestClockOptions): TestClock
