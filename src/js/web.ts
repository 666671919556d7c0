/**
 * A stream on its way to a browser: as a web `ReadableStream` or `Response`, or into Node's `ServerResponse`.
 * Knows HTTP and server-sent events, and nothing of how a stream is read: that is a `Source`.
 */
import type { PipeOptions, PipeOutcome, ServerResponseLike, SSEResponseInit, TextResponseInit } from '../../index'
import { HolySheepError, invalid } from './errors'
import { callback, oneOf, onlyThese, optionsObject, wholeMs } from './options'

/** A stream that is being read. */
export interface Source {
  /** The next piece, or undefined at the end. Rejects with what the stream failed with. */
  next(): Promise<string | undefined>
  /** A piece that is there already. */
  ready(): string | undefined
  /** Nobody wants the rest: the call is ended, or runs to its end. Who waits for a piece is at the end then. */
  leave(how: 'abort' | 'finish'): void
}
/** Begins to read. Throws where the stream is read already. */
type Open = () => Source

/** The defaults that `web.d.ts` names. */
export const HEARTBEAT_MS = 15_000
const ON_DISCONNECT = 'abort'

export const HEARTBEAT = ': heartbeat\n\n'
const DONE = 'data: [DONE]\n\n'
/** How much is joined into one write, in UTF-16 units. */
const JOIN_LIMIT = 65_536
/** `no-transform` keeps compression from holding events back, `x-accel-buffering` nginx. */
const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}
const TEXT_HEADERS = { ...SSE_HEADERS, 'content-type': 'text/plain; charset=utf-8' }

const SSE_OPTIONS = ['heartbeatMs', 'onDisconnect', 'errorMessage'] as const
const RESPONSE_INIT = ['status', 'statusText', 'headers'] as const

function readDisconnect(given: unknown): 'abort' | 'finish' {
  return oneOf('onDisconnect', given ?? ON_DISCONNECT, ['abort', 'finish'] as const)
}

function readSSE(given: PipeOptions) {
  return {
    heartbeatMs: wholeMs('heartbeatMs', given.heartbeatMs ?? HEARTBEAT_MS),
    onDisconnect: readDisconnect(given.onDisconnect),
    errorMessage: callback('errorMessage', given.errorMessage),
  }
}

/** The events of a chunk stream, ready to be written. */
class Events {
  #done = false
  constructor(private readonly source: Source) {}

  /** What there is, joined, or undefined after the last event. */
  async next(): Promise<string | undefined> {
    if (this.#done) return undefined
    const first = await this.source.next()
    if (first === undefined) {
      this.#done = true
      return DONE
    }
    let joined = event(first)
    while (joined.length < JOIN_LIMIT) {
      const more = this.source.ready()
      if (more === undefined) break
      joined += event(more)
    }
    return joined
  }
}

/** JSON has line breaks only between its tokens, where a space says the same. */
function event(json: string): string {
  return `data: ${/[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, ' ') : json}\n\n`
}

// ---------------------------------------------------------------------------------------------
// What the client is told of a failure: its kind, and nothing of providers, hosts or keys
// ---------------------------------------------------------------------------------------------

/** The kinds of failures: HTTP status, `type` as OpenAI names it, what is said. */
const KINDS = {
  request: [400, 'invalid_request_error', 'The model cannot answer this request.'],
  rate: [429, 'rate_limit_error', 'Too many requests; try again later.'],
  quota: [429, 'insufficient_quota', 'The quota is used up.'],
  busy: [503, 'service_unavailable', 'The service is busy; try again later.'],
  timeout: [504, 'timeout', 'The model took too long to answer.'],
  upstream: [502, 'upstream_error', 'The model could not answer; try again later.'],
  own: [500, 'server_error', 'Something went wrong.'],
} as const

const KIND_OF: Record<string, keyof typeof KINDS> = {
  INVALID_REQUEST: 'request',
  CONTEXT_LENGTH_EXCEEDED: 'request',
  CONTENT_FILTERED: 'request',
  RATE_LIMITED: 'rate',
  COST_CAP: 'quota',
  QUOTA_EXHAUSTED: 'busy',
  CIRCUIT_OPEN: 'busy',
  QUEUE_FULL: 'busy',
  RATE_LIMIT_NEVER_FITS: 'busy',
  CLIENT_CLOSED: 'busy',
  TIMEOUT: 'timeout',
}

interface Told {
  status: number
  retryAfterMs?: number
  body: { error: { message: string; type: string; code: string | null; param: null } }
}

function tellClient(error: unknown, errorMessage: PipeOptions['errorMessage']): Told {
  // Of several attempts the last one says what the matter is.
  const last =
    error instanceof HolySheepError && error.code === 'RETRIES_EXHAUSTED' && error.cause instanceof HolySheepError
      ? error.cause
      : error
  const known = last instanceof HolySheepError ? last : undefined
  // A model or a path that is not there is the server's own mistake, not its client's.
  const missing = known?.code === 'INVALID_REQUEST' && known.status === 404
  const kind = known === undefined ? 'own' : missing ? 'upstream' : (KIND_OF[known.code] ?? 'upstream')
  const [status, type, message] = KINDS[kind]
  return {
    status,
    retryAfterMs: known?.retryAfterMs,
    body: { error: { message: said(error, errorMessage) ?? message, type, code: known?.code ?? null, param: null } },
  }
}

/** The caller's own words. A fault in finding them must not cost the client its answer. */
function said(error: unknown, errorMessage: PipeOptions['errorMessage']): string | undefined {
  try {
    const text = errorMessage?.(error)
    return typeof text === 'string' ? text : undefined
  } catch (fault) {
    process.emitWarning(`errorMessage failed: ${fault}`, { type: 'HolySheepWarning' })
    return undefined
  }
}

const errorEvent = (told: Told) => `event: error\ndata: ${JSON.stringify(told.body)}\n\n`

// ---------------------------------------------------------------------------------------------
// Web streams
// ---------------------------------------------------------------------------------------------

/** A stream of what `next` gives, one pull ahead of its reader. */
function body<T>(
  next: () => Promise<T | undefined>,
  cancel: () => void,
  heartbeat?: { everyMs: number; value: T },
): ReadableStream<T> {
  return new ReadableStream<T>({
    async pull(controller) {
      const timer = heartbeat?.everyMs
        ? setInterval(() => {
            // Only to a reader who waits: nothing piles up for one who does not.
            if ((controller.desiredSize ?? 0) > 0) controller.enqueue(heartbeat.value)
          }, heartbeat.everyMs).unref()
        : undefined
      try {
        const value = await next()
        if (value === undefined) controller.close()
        else controller.enqueue(value)
      } finally {
        clearInterval(timer)
      }
    },
    cancel,
  })
}

export function toReadableStream(options: unknown, open: Open): ReadableStream<string> {
  const given = optionsObject('options', options)
  onlyThese(given, ['onDisconnect'])
  const onDisconnect = readDisconnect(given.onDisconnect)
  const source = open()
  return body(
    () => source.next(),
    () => source.leave(onDisconnect),
  )
}

export function toTextResponse(init: TextResponseInit | undefined, open: Open): Response {
  const given = optionsObject('init', init) as TextResponseInit
  onlyThese(given, [...RESPONSE_INIT, 'onDisconnect'])
  const onDisconnect = readDisconnect(given.onDisconnect)
  const responseInit = initWith(given, TEXT_HEADERS)
  const source = open()
  const encoder = new TextEncoder()
  const next = async () => {
    let text = await source.next()
    if (text === undefined) return undefined
    for (let more = source.ready(); more !== undefined; more = source.ready()) {
      text += more
      if (text.length >= JOIN_LIMIT) break
    }
    return encoder.encode(text)
  }
  return new Response(
    body(next, () => source.leave(onDisconnect)),
    responseInit,
  )
}

export function toSSEResponse(init: SSEResponseInit | undefined, open: Open): Response {
  const given = optionsObject('init', init) as SSEResponseInit
  onlyThese(given, [...RESPONSE_INIT, ...SSE_OPTIONS])
  const { heartbeatMs, onDisconnect, errorMessage } = readSSE(given)
  const responseInit = initWith(given, SSE_HEADERS)
  const source = open()
  const events = new Events(source)
  const encoder = new TextEncoder()
  let failed = false
  const next = async () => {
    if (failed) return undefined
    try {
      const text = await events.next()
      return text === undefined ? undefined : encoder.encode(text)
    } catch (error) {
      failed = true
      return encoder.encode(errorEvent(tellClient(error, errorMessage)))
    }
  }
  const heartbeat = { everyMs: heartbeatMs, value: encoder.encode(HEARTBEAT) }
  return new Response(
    body(next, () => source.leave(onDisconnect), heartbeat),
    responseInit,
  )
}

/** The caller's headers go before ours. */
function initWith(init: ResponseInit, ours: Record<string, string>): ResponseInit {
  const headers = new Headers(init.headers)
  for (const [name, value] of Object.entries(ours)) if (!headers.has(name)) headers.set(name, value)
  return { status: init.status, statusText: init.statusText, headers }
}

// ---------------------------------------------------------------------------------------------
// Node's ServerResponse
// ---------------------------------------------------------------------------------------------

/** A response as far as it is written to: knows when it may be written to again, and when its client has gone. */
class Outlet {
  gone = false
  /** Written faster than the client reads. HTTP/2 has no `writableNeedDrain`. */
  #full = false
  #wake = () => {}
  readonly #timer: NodeJS.Timeout | undefined

  constructor(
    private readonly res: ServerResponseLike,
    heartbeatMs: number,
    private readonly onGone: () => void,
  ) {
    res.on('drain', this.#drained)
    res.on('finish', this.#awake)
    res.on('close', this.#left)
    // Stays: what is said after the end about a socket that broke must not end the process.
    res.on('error', this.#left)
    if (heartbeatMs > 0) this.#timer = setInterval(this.#beat, heartbeatMs).unref()
    if (res.destroyed === true || res.closed === true || res.writableFinished === true) this.#left()
  }

  /** Everything is with the socket. In HTTP/2 a response that was broken off has finished too, without having ended. */
  get #finished() {
    return this.res.writableEnded && this.res.writableFinished === true
  }
  readonly #awake = () => this.#wake()
  readonly #drained = () => {
    this.#full = false
    this.#wake()
  }
  readonly #left = () => {
    if (!this.#finished && !this.gone) {
      this.gone = true
      this.onGone()
    }
    this.#wake()
  }
  readonly #beat = () => {
    if (!this.gone && !this.#full) this.#put(HEARTBEAT)
  }

  /** Sends the head; what the caller has set stays, the content type aside. */
  #begin() {
    const { res } = this
    if (res.headersSent) return
    for (const [name, value] of Object.entries(SSE_HEADERS)) {
      if (name === 'content-type' || !res.hasHeader(name)) res.setHeader(name, value)
    }
    res.flushHeaders?.()
  }

  #put(text: string) {
    this.#begin()
    if (!this.res.write(text)) this.#full = true
    // Not Node's: middleware that compresses adds it.
    this.res.flush?.()
  }

  /** Writes, and waits while the client does not keep up. */
  async write(text: string): Promise<void> {
    if (this.gone) return
    this.#timer?.refresh()
    this.#put(text)
    while (!this.gone && this.#full) await this.#news()
  }

  /** Tells of a failure: with a status of its own where nothing was sent, else as an event. */
  fail(told: Told) {
    const { res } = this
    if (this.gone) return
    if (res.headersSent) {
      this.#put(errorEvent(told))
      return
    }
    res.statusCode = told.status
    res.setHeader('content-type', 'application/json; charset=utf-8')
    res.setHeader('cache-control', 'no-store')
    if (told.retryAfterMs !== undefined) res.setHeader('retry-after', String(Math.ceil(told.retryAfterMs / 1000)))
    const json = JSON.stringify(told.body)
    res.setHeader('content-length', String(Buffer.byteLength(json)))
    res.write(json)
  }

  /** Ends the response, and waits until it has been handed to the socket. */
  async end(): Promise<void> {
    clearInterval(this.#timer)
    if (!this.gone) this.res.end()
    while (!this.gone && !this.#finished) await this.#news()
    this.res.removeListener('drain', this.#drained)
    this.res.removeListener('finish', this.#awake)
    this.res.removeListener('close', this.#left)
  }

  #news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

export async function pipe(
  res: ServerResponseLike,
  options: PipeOptions | undefined,
  open: Open,
  over: () => Promise<unknown>,
): Promise<PipeOutcome> {
  const given = optionsObject('options', options) as PipeOptions
  onlyThese(given, SSE_OPTIONS)
  const { heartbeatMs, onDisconnect, errorMessage } = readSSE(given)
  if (typeof res?.write !== 'function' || typeof res.setHeader !== 'function' || typeof res.on !== 'function') {
    throw invalid('res', res, 'a ServerResponse of node:http or node:http2 (in Express `res`, in Fastify `reply.raw`)')
  }
  if (res.writableEnded)
    throw invalid('res', undefined, 'a response that has not been ended', 'one that has been ended')
  const source = open()
  const events = new Events(source)
  const outlet = new Outlet(res, heartbeatMs, () => source.leave(onDisconnect))
  let failure: { error: unknown } | undefined
  try {
    for (let text = await events.next(); text !== undefined && !outlet.gone; text = await events.next()) {
      await outlet.write(text)
    }
  } catch (error) {
    failure = { error }
    outlet.fail(tellClient(error, errorMessage))
  }
  await outlet.end()
  if (outlet.gone) {
    // The answer that was to be finished is: it may have failed instead.
    if (onDisconnect === 'finish')
      await over().catch((error) => {
        failure = { error }
      })
    return failure ? { outcome: 'disconnected', error: failure.error } : { outcome: 'disconnected' }
  }
  return failure ? { outcome: 'failed', error: failure.error } : { outcome: 'complete' }
}
