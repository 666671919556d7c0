/** `streamWithTimeout`: a fetch whose deadline holds for the headers and for the body (document 002). */
import { invalid, TimeoutError } from '../errors'
import { splitSignal } from '../options'

const TIMEOUT_MS = 30_000
/** How much of the body is read before anybody asks for it, in bytes: so that it counts as received. */
const READ_AHEAD = 64 * 1024
/** How much of the body an error keeps, in bytes: the first of it. */
const KEPT = 8 * 1024 * 1024

type Partial = string | Uint8Array
type Options = RequestInit & { partialBuffer?: Partial }

/** What was received: what the caller had already, and the start of the body. */
class Received {
  readonly #before: Partial | undefined
  readonly #chunks: Uint8Array[] = []
  #size = 0

  constructor(before: Partial | undefined) {
    this.#before = before
  }

  add(chunk: Uint8Array) {
    const room = KEPT - this.#size
    if (room <= 0) return
    // A copy: the reader may give the memory away.
    const kept = chunk.slice(0, room)
    this.#chunks.push(kept)
    this.#size += kept.length
  }

  /** In the form of what the caller had; text where it had nothing. */
  data(): Partial {
    const bytes = Buffer.concat(this.#chunks)
    if (this.#before instanceof Uint8Array) return Buffer.concat([this.#before, bytes])
    // Half a character at the end is not shown.
    return (this.#before ?? '') + new TextDecoder().decode(bytes, { stream: true })
  }
}

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
  const theirs = signal ?? (url instanceof Request ? url.signal : undefined)
  theirs?.throwIfAborted()
  const received = new Received(partialBuffer)
  const controller = new AbortController()
  const abort = () => controller.abort(theirs?.reason)
  const timer = setTimeout(
    () => {
      over()
      const error = new TimeoutError('Request timeout')
      controller.abort(Object.assign(error, { code: 'TIMEOUT', phase: 'total', partialData: received.data() }))
    },
    Math.min(timeout, 2 ** 31 - 1),
  )
  theirs?.addEventListener('abort', abort, { once: true })
  const over = () => {
    clearTimeout(timer)
    theirs?.removeEventListener('abort', abort)
  }
  try {
    const response = await fetch(url, { ...init, signal: controller.signal })
    // A body that nobody reads is no reason for the process to stay: what is read waits on its connection.
    timer.unref()
    if (response.body) return watched(response, response.body, received, controller.signal, over)
    over()
    return response
  } catch (error) {
    over()
    throw error
  }
}

/** The response, with a body that counts what passes and that the signal ends. */
function watched(
  response: Response,
  body: ReadableStream<Uint8Array>,
  received: Received,
  signal: AbortSignal,
  over: () => void,
): Response {
  const reader = body.getReader()
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) {
            over()
            return controller.close()
          }
          received.add(value)
          controller.enqueue(value)
        } catch (error) {
          over()
          controller.error(signal.aborted ? signal.reason : error)
        }
      },
      cancel(reason) {
        over()
        return reader.cancel(reason)
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: READ_AHEAD }),
  )
  const { status, statusText, headers, url, redirected } = response
  const made = new Response(stream, { status, statusText, headers })
  return Object.defineProperties(made, { url: { value: url }, redirected: { value: redirected } })
}
