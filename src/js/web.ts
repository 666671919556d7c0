/**
 * Sends a stream to a browser: as a web `ReadableStream` or `Response`, or through Node's `ServerResponse`.
 * This file knows HTTP and server-sent events. How a stream is read is behind `Source`.
 */
import { ReadableStream } from 'node:stream/web'
import { TextEncoder } from 'node:util'
import type { PipeOptions, PipeOutcome, ServerResponseLike, SSEResponseInit, TextResponseInit } from '../../index'
import { type ClientError, clientErrorOf } from './client-error'
import { invalid } from './errors'
import { callback, checkKnownOptions, oneOf, optionsObject, wholeMs } from './options'
import { bare, stringify } from './own'
import { clearInterval, setInterval, type Timer } from './timers'

/** The reading side of a stream. */
export interface Source {
  /** The next delta, or undefined at the end. Rejects with the error of the stream. */
  next(): Promise<string | undefined>
  /** The next delta, if it has already arrived. */
  ready(): string | undefined
  /** Stops reading, and aborts the call or lets it finish. A pending `next` resolves to the end of the stream. */
  leave(how: 'abort' | 'finish'): void
}
/** Begins to read. Throws if the stream has already been read. */
type Open = () => Source

/** The defaults that `web.d.ts` documents. */
export const HEARTBEAT_MS = 15_000
const ON_DISCONNECT = 'abort'

export const HEARTBEAT = ': heartbeat\n\n'
const DONE = 'data: [DONE]\n\n'
/** The maximum size of one write, in UTF-16 units. */
const JOIN_LIMIT = 65_536
/** `no-transform` keeps compression from buffering events, `x-accel-buffering` does the same for nginx. */
const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}
const TEXT_HEADERS = { ...SSE_HEADERS, 'content-type': 'text/plain; charset=utf-8' }

const SSE_OPTIONS = ['heartbeatMs', 'onDisconnect', 'errorMessage'] as const
const RESPONSE_INIT = ['status', 'statusText', 'headers'] as const

function readDisconnect(value: unknown): 'abort' | 'finish' {
  return oneOf('onDisconnect', value ?? ON_DISCONNECT, ['abort', 'finish'] as const)
}

function readSSE(options: PipeOptions) {
  return {
    heartbeatMs: wholeMs('heartbeatMs', options.heartbeatMs ?? HEARTBEAT_MS),
    onDisconnect: readDisconnect(options.onDisconnect),
    errorMessage: callback('errorMessage', options.errorMessage),
  }
}

/** Reads a chunk stream as server-sent events. */
class EventReader {
  #done = false
  constructor(private readonly source: Source) {}

  /** The events that have arrived, joined, or undefined after the last one. */
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

const errorEvent = (error: ClientError) => `event: error\ndata: ${stringify(error.body) as string}\n\n`

/** Line breaks in JSON occur only between tokens, where a space means the same. */
function event(json: string): string {
  return `data: ${/[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, ' ') : json}\n\n`
}

// ---------------------------------------------------------------------------------------------
// Web streams
// ---------------------------------------------------------------------------------------------

/** A web stream of the values of `next`, one pull ahead of its reader. */
function readableOf<T>(
  next: () => Promise<T | undefined>,
  cancel: () => void,
  heartbeat?: { everyMs: number; value: T },
): ReadableStream<T> {
  return new ReadableStream<T>(
    bare({
      async pull(controller) {
        const timer = heartbeat?.everyMs
          ? setInterval(() => {
              // Only for a waiting reader, so that heartbeats do not pile up.
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
    }),
  )
}

export function toReadableStream(options: unknown, open: Open): ReadableStream<string> {
  const checked = optionsObject('options', options)
  checkKnownOptions(checked, ['onDisconnect'])
  const onDisconnect = readDisconnect(checked.onDisconnect)
  const source = open()
  return readableOf(
    () => source.next(),
    () => source.leave(onDisconnect),
  )
}

export function toTextResponse(init: TextResponseInit | undefined, open: Open): Response {
  const checked = optionsObject('init', init) as TextResponseInit
  checkKnownOptions(checked, [...RESPONSE_INIT, 'onDisconnect'])
  const onDisconnect = readDisconnect(checked.onDisconnect)
  const responseInit = initWith(checked, TEXT_HEADERS)
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
    readableOf(next, () => source.leave(onDisconnect)),
    responseInit,
  )
}

export function toSSEResponse(init: SSEResponseInit | undefined, open: Open): Response {
  const checked = optionsObject('init', init) as SSEResponseInit
  checkKnownOptions(checked, [...RESPONSE_INIT, ...SSE_OPTIONS])
  const { heartbeatMs, onDisconnect, errorMessage } = readSSE(checked)
  const responseInit = initWith(checked, SSE_HEADERS)
  const source = open()
  const events = new EventReader(source)
  const encoder = new TextEncoder()
  let failed = false
  const next = async () => {
    if (failed) return undefined
    try {
      const text = await events.next()
      return text === undefined ? undefined : encoder.encode(text)
    } catch (error) {
      failed = true
      return encoder.encode(errorEvent(clientErrorOf(error, errorMessage)))
    }
  }
  const heartbeat = { everyMs: heartbeatMs, value: encoder.encode(HEARTBEAT) }
  return new Response(
    readableOf(next, () => source.leave(onDisconnect), heartbeat),
    responseInit,
  )
}

/** The response options with our headers. The caller's headers take precedence. */
function initWith(init: ResponseInit, ours: Record<string, string>): ResponseInit {
  const headers = new Headers(init.headers)
  for (const [name, value] of Object.entries(ours)) if (!headers.has(name)) headers.set(name, value)
  return { status: init.status, statusText: init.statusText, headers }
}

// ---------------------------------------------------------------------------------------------
// Node's ServerResponse
// ---------------------------------------------------------------------------------------------

/** Writes events to a `ServerResponse` with backpressure, and detects a client that disconnects. */
class ResponseWriter {
  disconnected = false
  /** The response has to drain before the next write. HTTP/2 has no `writableNeedDrain`. */
  #full = false
  #wake = () => {}
  readonly #timer: Timer | undefined

  constructor(
    private readonly res: ServerResponseLike,
    heartbeatMs: number,
    private readonly onDisconnect: () => void,
  ) {
    res.on('drain', this.#onDrain)
    res.on('finish', this.#onFinish)
    res.on('close', this.#onClose)
    // Never removed: an error of the socket after the end must not crash the process.
    res.on('error', this.#onClose)
    if (heartbeatMs > 0) this.#timer = setInterval(this.#sendHeartbeat, heartbeatMs).unref()
    if (res.destroyed === true || res.closed === true || res.writableFinished === true) this.#onClose()
  }

  /** The socket has all data. An HTTP/2 response that was reset is `writableFinished` too, but not `writableEnded`. */
  get #finished() {
    return this.res.writableEnded && this.res.writableFinished === true
  }
  readonly #onFinish = () => this.#wake()
  readonly #onDrain = () => {
    this.#full = false
    this.#wake()
  }
  readonly #onClose = () => {
    if (!this.#finished && !this.disconnected) {
      this.disconnected = true
      this.onDisconnect()
    }
    this.#wake()
  }
  readonly #sendHeartbeat = () => {
    if (!this.disconnected && !this.#full) this.#writeNow(HEARTBEAT)
  }

  /** Sends the headers. Those that the caller has set take precedence, except for the content type. */
  #sendHeaders() {
    const { res } = this
    if (res.headersSent) return
    for (const [name, value] of Object.entries(SSE_HEADERS)) {
      if (name === 'content-type' || !res.hasHeader(name)) res.setHeader(name, value)
    }
    res.flushHeaders?.()
  }

  #writeNow(text: string) {
    this.#sendHeaders()
    if (!this.res.write(text)) this.#full = true
    // Added by compression middleware.
    this.res.flush?.()
  }

  /** Writes, and waits until the client has caught up. */
  async write(text: string): Promise<void> {
    if (this.disconnected) return
    this.#timer?.refresh()
    this.#writeNow(text)
    while (!this.disconnected && this.#full) await this.#stateChange()
  }

  /** Sends an error: with its HTTP status if the headers have not been sent, else as an event. */
  fail(error: ClientError) {
    const { res } = this
    if (this.disconnected) return
    if (res.headersSent) {
      this.#writeNow(errorEvent(error))
      return
    }
    res.statusCode = error.status
    res.setHeader('content-type', 'application/json; charset=utf-8')
    res.setHeader('cache-control', 'no-store')
    if (error.retryAfterS !== undefined) res.setHeader('retry-after', String(error.retryAfterS))
    const json = stringify(error.body) as string
    res.setHeader('content-length', String(Buffer.byteLength(json)))
    res.write(json)
  }

  /** Ends the response, and waits until the socket has all data. */
  async end(): Promise<void> {
    clearInterval(this.#timer)
    if (!this.disconnected) this.res.end()
    while (!this.disconnected && !this.#finished) await this.#stateChange()
    this.res.removeListener('drain', this.#onDrain)
    this.res.removeListener('finish', this.#onFinish)
    this.res.removeListener('close', this.#onClose)
  }

  #stateChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

export async function pipe(
  res: ServerResponseLike,
  options: PipeOptions | undefined,
  open: Open,
  finished: () => Promise<unknown>,
): Promise<PipeOutcome> {
  const checked = optionsObject('options', options) as PipeOptions
  checkKnownOptions(checked, SSE_OPTIONS)
  const { heartbeatMs, onDisconnect, errorMessage } = readSSE(checked)
  if (typeof res?.write !== 'function' || typeof res.setHeader !== 'function' || typeof res.on !== 'function') {
    throw invalid('res', res, 'a ServerResponse of node:http or node:http2 (`res` in Express, `reply.raw` in Fastify)')
  }
  if (res.writableEnded)
    throw invalid('res', undefined, 'a response that has not been ended', 'one that has been ended')
  const source = open()
  const events = new EventReader(source)
  const writer = new ResponseWriter(res, heartbeatMs, () => source.leave(onDisconnect))
  let failure: { error: unknown } | undefined
  try {
    for (let text = await events.next(); text !== undefined && !writer.disconnected; text = await events.next()) {
      await writer.write(text)
    }
  } catch (error) {
    failure = { error }
    writer.fail(clientErrorOf(error, errorMessage))
  }
  await writer.end()
  if (writer.disconnected) {
    // With 'finish' the call continues without the client, and may still fail.
    if (onDisconnect === 'finish')
      await finished().catch((error) => {
        failure = { error }
      })
    return failure ? { outcome: 'disconnected', error: failure.error } : { outcome: 'disconnected' }
  }
  return failure ? { outcome: 'failed', error: failure.error } : { outcome: 'complete' }
}
