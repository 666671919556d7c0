/// <reference lib="esnext.disposable" />
/**
 * An OpenAI-compatible provider that fails on request: for demos, for tests of applications, and for benchmarks. It
 * answers chat completions, OpenAI's Responses and Anthropic's Messages, and listens on loopback by default. A request
 * can carry its own scenario, as JSON in the header `x-simulate`.
 */

/** How one request is answered. Every field is optional and can be combined with the others. */
export interface Scenario {
  /** A name for the recorded request. */
  label?: string
  /** The seed for ids and chunk sizes of this answer. The simulator's by default. */
  seed?: number
  /** The status of the response, 200–599; without a `body`, an error status has an error in OpenAI's shape. @default 200 */
  status?: number
  /** Headers to add or replace. */
  headers?: Record<string, string | string[]>
  /** The complete body in place of an answer; a string is sent unchanged, anything else as JSON. */
  body?: unknown
  /** `retry-after`, in seconds. */
  retryAfter?: number
  /** `retry-after` as the HTTP date this many seconds from now. */
  retryAfterDate?: number
  /** `retry-after-ms`, in milliseconds. */
  retryAfterMs?: number
  /** A gateway's HTML page in place of an answer. @default false */
  html?: boolean
  /**
   * The format of the answer, whatever was requested: a stream of events, the same data as lines without `[DONE]`, or one
   * JSON document. What was requested by default. `headers` can give any of them another content type.
   */
  format?: 'sse' | 'ndjson' | 'document'
  /** The size in bytes to which the response headers are padded. */
  headerBytes?: number
  /** A TCP reset before any response byte. @default false */
  connectReset?: boolean
  /** A clean close before any response byte. @default false */
  closeBeforeHeaders?: boolean
  /** Never answers. @default false */
  hang?: boolean
  /** The delay before the response headers, in milliseconds. @default 0 */
  headersDelayMs?: number
  /** The delay before the first chunk of text, after the headers and the role, in milliseconds. @default 0 */
  firstTokenDelayMs?: number
  /** The delay between two chunks, in milliseconds. @default 0 */
  chunkDelayMs?: number
  /** The delay before the usage chunk, in milliseconds. @default 0 */
  usageDelayMs?: number
  /** Whether a chunk with only the role comes first. @default true */
  roleFirst?: boolean
  /** How the body is encoded, whatever the request accepts. */
  contentEncoding?: 'gzip' | 'deflate' | 'br' | 'zstd'
  /**
   * The data of the events in place of generated chunks: a string is sent unchanged, anything else as JSON. `[DONE]` still
   * follows (`done`), and each event counts as a chunk. A request that continues the answer gets the same events.
   * Excludes `text`, `chunks` and `repeat`.
   */
  events?: unknown[]
  /** The answer as exact chunks of text. Excludes `text`. */
  chunks?: string[]
  /** The answer; the seed splits it into chunks. */
  text?: string
  /** The size of a chunk in characters. By default the seed chooses 1 to 8. */
  chunkChars?: number
  /** The number of chunks, for benchmarks. */
  repeat?: number
  /**
   * Each chunk of `repeat` is the time at which it is written: the last nine digits of the microseconds since 1970, and a
   * space. @default false
   */
  stamp?: boolean
  /** Sent as `reasoning_content` before the answer. */
  reasoning?: string
  /** Sent as `refusal`. */
  refusal?: string
  /** Sent after the text, in fragments. */
  toolCalls?: Array<{ id?: string; name: string; arguments?: unknown }>
  /** `stop` by default, or `tool_calls` if there are any. */
  finishReason?: string
  /** More text of the first choice, in one chunk after those with the finish reason. */
  lateText?: string
  /** Fields that each chunk has besides its choices and usage, or has with another value: `{ created: '1' }`. */
  chunkFields?: Record<string, unknown>
  /**
   * Where the text of a chunk is: `delta.content`; `message.content`; `text` of the choice, as in the old completions; or
   * `delta.content` as a list of parts. @default 'delta'
   */
  shape?: 'delta' | 'message' | 'text' | 'parts'
  /** How choices are numbered: from 0, from 1, all with 0, from 0 as strings, or not at all. @default 'fromZero' */
  choiceIndex?: 'fromZero' | 'fromOne' | 'zero' | 'string' | 'none'
  /** How tool calls are numbered, in the same way. @default 'fromZero' */
  toolCallIndex?: 'fromZero' | 'fromOne' | 'zero' | 'string' | 'none'
  /** Pings while the stream waits or stalls. */
  pings?: { everyMs?: number; style?: 'comment' | 'event' }
  /** Where and how the answer ends early. */
  disconnect?: {
    /** After this many chunks. */
    afterChunks?: number
    /** After this many bytes of the body, possibly in the middle of a character. */
    afterBytes?: number
    /**
     * After the chunks with the finish reason and `lateText`, before usage and `[DONE]`. Excludes `afterChunks` and
     * `afterBytes`. @default false
     */
    afterFinish?: boolean
    /** @default 'reset' */
    how?: 'reset' | 'close' | 'stall' | 'errorEvent' | 'errorEventNamed' | 'malformed' | 'done' | 'noFinish'
    /** The error object of an error event. */
    error?: unknown
  }
  /** Whether `[DONE]` ends the stream. @default true */
  done?: boolean
  /** Whether there is a finish reason. @default true */
  finish?: boolean
  /** Whether usage is sent, or the usage to send. By default it is sent when requested. */
  usage?: boolean | object
  /**
   * Where usage is: in its own chunk without choices; in its own chunk with an empty choice; in the chunk with the last
   * finish reason; in the choice of that chunk; in its `x_groq`; or in every chunk that has a choice. Except for a chunk of
   * its own, it is sent without being requested. @default 'chunk'
   */
  usageIn?: 'chunk' | 'choiceChunk' | 'lastChunk' | 'choice' | 'xGroq' | 'every'
  /** Whether a request with `stream_options` gets a 400. @default false */
  rejectStreamOptions?: boolean
  /**
   * The form of request in which a last assistant message is continued. `assistant`: in any, like llama-server.
   * `continue_final_message`: with that field and `add_generation_prompt: false` in the body, like vLLM. `prefix` and
   * `partial`: with that field of the message, like Mistral and Kimi. In another form, and with `none` in every one, the
   * request gets a new turn: the answer from its beginning. `'assistant'` by default, `'none'` with `rejectAssistantTail`.
   */
  continues?: 'assistant' | 'continue_final_message' | 'prefix' | 'partial' | 'none'
  /**
   * The status, 400 to 499, of the reply to a request whose last message is the assistant's and is not continued. Not
   * rejected by default.
   */
  rejectAssistantTail?: number
  /** Whether a request that ends with a system message and has others gets a 400. @default false */
  rejectSystemTail?: boolean
  /** How lines end. @default 'lf' */
  lineEnd?: 'lf' | 'crlf' | 'cr'
  /** Whether an empty line follows each event. @default true */
  blankLines?: boolean
  /** Bytes per write: one event, one byte, or a number; up to 16 KiB by default. */
  packets?: 'event' | 'bytes' | number
  /** Whether an HTTP/1.1 stream is chunked, or ends with the connection. @default true */
  chunked?: boolean
  /** Whether the connection stays open. @default true */
  keepAlive?: boolean
  /**
   * How a request to continue the answer is answered. `asked`: as it asks. `exact`: with the rest; `overlap`: from
   * `overlapChars` earlier; `word`: from the beginning of the cut word; `restart`: with all of it; `different`: with another
   * text. The others behave like models that do not obey: the last sentence again (`echo`) or nothing (`empty`), and the end;
   * the rest after a sentence about it (`preamble`), after the instruction (`instruction`), after the last sentence with
   * another beginning (`near`) or from the middle of the text (`middle`); with a capital letter and no space (`glued`); after
   * the first two lines (`header`). @default 'asked'
   */
  onContinue?:
    | 'asked'
    | 'exact'
    | 'overlap'
    | 'restart'
    | 'different'
    | 'word'
    | 'echo'
    | 'empty'
    | 'preamble'
    | 'near'
    | 'middle'
    | 'instruction'
    | 'glued'
    | 'header'
  /** How many characters `overlap` repeats. @default 0 */
  overlapChars?: number
  /**
   * How a background response of `/v1/responses` can be requested again: as a stream from any event on (`starting_after`);
   * only as a document, because its stream is too old, a 400; or not at all, a 404. A request for it takes a scenario too.
   * @default 'stream'
   */
  kept?: 'stream' | 'document' | 'no'
}

export interface SimulatorOptions {
  /** @default '127.0.0.1' */
  host?: string
  /** 0: any free port. @default 0 */
  port?: number
  /** Determines ids and chunk sizes. @default 1 */
  seed?: number
  /** TLS with HTTP/2, with a certificate created at start. @default false */
  tls?: boolean
  /** The answer to requests whose scenario has none. */
  answer?: string
  models?: string[]
  /** If set, any other key gets a 401. */
  apiKey?: string
  /**
   * A token bucket of chat requests for each key. Every response reports what is left (`x-ratelimit-*`); beyond it there is
   * a 429 with `retry-after-ms`, which uses no scenario and is recorded as `rate-limit`. Off by default.
   */
  rateLimit?: {
    /** The burst size, in requests. @default 100 */
    capacity?: number
    /** Requests per second. @default 10 */
    refillPerSecond?: number
  }
  /** How many requests are recorded. @default 10000 */
  recordLimit?: number
  /** The scenario for requests without a scripted one. */
  default?: Scenario
}

/** A request as the provider received it. */
export interface RecordedRequest {
  index: number
  /** Since the start, in milliseconds. */
  atMs: number
  epochMs: number
  method: string
  path: string
  /** Names are in lower case. */
  headers: Record<string, string>
  /** As received. */
  body: string
  /** The body parsed, or null. */
  json: any
  scenario: string | null
  protocol: 'http/1.1' | 'h2'
  connection: number
  endedBy: 'complete' | 'client' | 'disconnect' | 'open'
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
  /** The requests so far. */
  readonly requests: RecordedRequest[]
  /** Scenarios for the next requests, one per request, in order. */
  script(...scenarios: Scenario[]): this
  /** The scenario for requests without a scripted one. */
  setDefault(scenario: Scenario): this
  /** Clears the recorded requests; scripted scenarios stay. */
  clear(): void
  /** Clears the recorded requests and the scripted scenarios. */
  reset(): void
  /** Stops listening and closes every connection. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a simulator in this process, off the event loop. It does not keep the process alive. */
export function startSimulator(options?: SimulatorOptions): Promise<Simulator>

export interface TestClockOptions {
  /**
   * How long a call that waits for its socket must be inactive before it counts as settled, in real milliseconds, and nothing
   * may be under way between clients and simulators of this process. For these a few milliseconds suffice, however slow the
   * machine is. A call that waits only for time is settled immediately. @default 250
   */
  settleMs?: number
}

/**
 * Fake timers for the clients of this JavaScript thread: waits between attempts, limits, breakers, timeouts, deadlines and
 * cost windows. Sockets, the simulator's delays and JavaScript's own timers use real time.
 */
export class TestClock implements Disposable {
  private constructor()
  /** How far the clock was advanced, in milliseconds. */
  readonly elapsedMs: number
  /** The clock's time, in epoch milliseconds. It starts at the current time. */
  readonly now: number
  /**
   * Advances the clock by this many milliseconds, from the end of one wait to the next. Between steps, before the first and
   * after the last one, calls run until they are settled.
   */
  advance(ms: number): Promise<void>
  /** Advances to the end of the next wait, repeatedly, until the promise is settled. Resolves or rejects like it. */
  runUntil<T>(promise: PromiseLike<T>): Promise<T>
  /** Returns to real time, in which waiting calls continue. Create new clients afterwards. */
  restore(): void
  [Symbol.dispose](): void
}

/** Installs fake timers for this thread's clients, breakers and limiters. A previous clock is restored. */
export function testClock(options?: TestClockOptions): TestClock
