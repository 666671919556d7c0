/**
 * The body of a streamed answer: makes server-sent events of the deltas of a call. The reader sets the pace: deltas wait
 * here until it reads, and are enqueued together in a turn of the call. A call that is far ahead of its reader is paused.
 */
import { ReadableStream } from 'node:stream/web'
import { TextEncoder } from 'node:util'
import type { CallHandle } from '../call-handle'
import { bare } from '../own'
import { mayRead, readerResolved } from '../scheduler'
import { clearTimeout, now, setTimeout, type Timer } from '../timers'
import { HEARTBEAT } from '../web'

/** How many characters may wait for the reader before the socket is paused. */
const HIGH_WATER = 64 * 1024

const encoder = new TextEncoder()

export class EventStream {
  readonly readable: ReadableStream<Uint8Array>
  /** Undefined after the end of the stream. */
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #call: CallHandle | undefined
  /** The events that wait for the reader. */
  #text = ''
  /** The reader waits for the next event. */
  #wanted = false
  /** A turn of the call has been requested. */
  #turnRequested = false
  #ended = false
  #failure: { error: unknown } | undefined
  #lastMs = now()
  #timer: Timer | undefined

  constructor() {
    this.readable = new ReadableStream<Uint8Array>(
      bare({
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          this.#wanted = true
          if (this.#text === '' || mayRead()) this.#flush()
          else this.#requestTurn()
        },
        cancel: (reason) => {
          this.#stop()
          this.#controller = undefined
          this.#call?.cancel(reason ?? new DOMException('The body was canceled', 'AbortError'))
        },
      }),
      // The stream itself buffers nothing, because an error would discard its buffer.
      { highWaterMark: 0 },
    )
  }

  /** Sets the call that the deltas come from. */
  attach(call: CallHandle) {
    this.#call = call
  }

  /** Sends a comment whenever nothing has been sent for `everyMs`. */
  keepAlive(everyMs: number, beat: () => void) {
    const tick = () => {
      const left = this.#lastMs + everyMs - now()
      if (left <= 0) {
        this.#lastMs = now()
        beat()
        if (this.#wanted && this.#text === '') this.#push(HEARTBEAT)
      }
      this.#timer = setTimeout(tick, left > 0 ? left : everyMs).unref()
    }
    if (this.#timer === undefined && !this.#ended) {
      this.#lastMs = now()
      this.#timer = setTimeout(tick, everyMs).unref()
    }
  }

  /** Sends an event. */
  send(data: string) {
    // Pretty-printed JSON has line breaks between its tokens.
    const lines = data.includes('\n') ? data.replaceAll('\n', '\ndata: ') : data
    this.#push(`data: ${lines}\n\n`)
    if (this.#text.length >= HIGH_WATER) this.#call?.pause()
  }

  /** Sends an event that is already in the wire format. */
  sendRaw(event: string) {
    this.#push(event)
    if (this.#text.length >= HIGH_WATER) this.#call?.pause()
  }

  /** Call this in the requested turn. */
  onTurn() {
    this.#turnRequested = false
    this.#flush()
  }

  end() {
    this.#stop()
    this.#flush()
  }

  /** Fails the stream after the events that have been received. */
  fail(error: unknown) {
    if (this.#ended) return
    this.#failure = { error }
    this.end()
  }

  #push(text: string) {
    if (this.#ended) return
    this.#text += text
    // Not flushed at once, so that all events of one batch go together.
    if (this.#wanted) this.#requestTurn()
  }

  #requestTurn() {
    if (this.#turnRequested) return
    this.#turnRequested = true
    this.#call?.requestTurn()
  }

  #flush() {
    if (this.#wanted && this.#text !== '' && this.#controller) {
      const text = this.#text
      this.#text = ''
      this.#wanted = false
      this.#lastMs = now()
      this.#controller.enqueue(encoder.encode(text))
      readerResolved()
      this.#call?.resume()
    }
    if (!this.#ended || this.#text !== '') return
    const controller = this.#controller
    this.#controller = undefined
    if (this.#failure) controller?.error(this.#failure.error)
    else controller?.close()
  }

  #stop() {
    this.#ended = true
    clearTimeout(this.#timer)
  }
}
