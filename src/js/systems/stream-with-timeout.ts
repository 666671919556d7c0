/** `streamWithTimeout` of tutorial 002: a fetch whose deadline covers the headers and the body. */
import { ByteLengthQueuingStrategy, ReadableStream } from 'node:stream/web'
import { URL } from 'node:url'
import { TextDecoder } from 'node:util'
import { invalid, TimeoutError } from '../errors'
import { splitSignal } from '../options'
import { bare } from '../own'
import { callersTimers } from '../sleep'

const TIMEOUT_MS = 30_000
/** How many bytes of the body are read ahead of the reader, so that they count as received. */
const READ_AHEAD = 64 * 1024
/** The maximum number of bytes of the body in an error, from its start. */
const MAX_PARTIAL = 8 * 1024 * 1024

type PartialData = string | Uint8Array
type Options = RequestInit & { partialBuffer?: PartialData }

export async function streamWithTimeout(
  url: string | URL | Request,
  options?: Options,
  timeout = TIMEOUT_MS,
): Promise<Response> {
  const { signal, rest } = splitSignal(options)
  const { partialBuffer, ...init } = rest as Options
  if (!(url instanceof Request) && !URL.canParse(url as string))
    throw invalid('url', url, 'an absolute URL or a Request')
  if (typeof timeout !== 'number' || !(timeout > 0)) throw invalid('timeout', timeout, 'milliseconds above 0')
  if (partialBuffer !== undefined && typeof partialBuffer !== 'string' && !(partialBuffer instanceof Uint8Array)) {
    throw invalid('partialBuffer', partialBuffer, 'a string or a Uint8Array')
  }
  const callerSignal = signal ?? (url instanceof Request ? url.signal : undefined)
  callerSignal?.throwIfAborted()
  const received = new ReceivedData(partialBuffer)
  const controller = new AbortController()
  const abort = () => controller.abort(callerSignal?.reason)
  // A test of the timeout controls it with fake timers.
  const timers = callersTimers()
  const timer = timers.setTimeout(
    () => {
      stop()
      const error = new TimeoutError('Request timeout')
      controller.abort(Object.assign(error, { code: 'TIMEOUT', phase: 'total', partialData: received.data() }))
    },
    Math.min(timeout, 2 ** 31 - 1),
  )
  callerSignal?.addEventListener('abort', abort, bare({ once: true }))
  const stop = () => {
    timers.clearTimeout(timer)
    callerSignal?.removeEventListener('abort', abort)
  }
  try {
    const response = await fetch(url, { ...init, signal: controller.signal })
    // An unread body must not keep the process alive. A pending read does, through its connection.
    // A fake timer, or that of a window, may be a number.
    timer.unref?.()
    if (response.body) return limitedResponse(response, response.body, received, controller.signal, stop)
    stop()
    return response
  } catch (error) {
    stop()
    throw error
  }
}

/** The response with a body that records the received data and ends with the signal. */
function limitedResponse(
  response: Response,
  body: ReadableStream<Uint8Array>,
  received: ReceivedData,
  signal: AbortSignal,
  stop: () => void,
): Response {
  const reader = body.getReader()
  const stream = new ReadableStream<Uint8Array>(
    bare({
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) {
            stop()
            return controller.close()
          }
          received.add(value)
          controller.enqueue(value)
        } catch (error) {
          stop()
          controller.error(signal.aborted ? signal.reason : error)
        }
      },
      cancel(reason) {
        stop()
        return reader.cancel(reason)
      },
    }),
    new ByteLengthQueuingStrategy({ highWaterMark: READ_AHEAD }),
  )
  const { status, statusText, headers, url, redirected } = response
  const limited = new Response(stream, bare({ status, statusText, headers }))
  return Object.defineProperties(limited, { url: { value: url }, redirected: { value: redirected } })
}

/** The received data: what the caller already had, and the start of the body. */
class ReceivedData {
  readonly #before: PartialData | undefined
  readonly #chunks: Uint8Array[] = []
  #size = 0

  constructor(before: PartialData | undefined) {
    this.#before = before
  }

  add(chunk: Uint8Array) {
    const remaining = MAX_PARTIAL - this.#size
    if (remaining <= 0) return
    // A copy, because the reader may transfer the buffer.
    const copy = chunk.slice(0, remaining)
    this.#chunks.push(copy)
    this.#size += copy.length
  }

  /** The data in the type of the caller's `partialBuffer`; text by default. */
  data(): PartialData {
    const bytes = Buffer.concat(this.#chunks)
    if (this.#before instanceof Uint8Array) return Buffer.concat([this.#before, bytes])
    // `stream` omits an incomplete character at the end.
    return (this.#before ?? '') + new TextDecoder().decode(bytes, { stream: true })
  }
}
