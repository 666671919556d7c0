/**
 * The body of a streamed answer: server-sent events out of the pieces of a call. The reader is the clock: a piece waits
 * here until somebody reads, pieces that wait are handed over together when it is the call's turn, and a call that is far
 * ahead of its reader is paused.
 */
import type { CallHandle } from '../call-handle'
import { mayRead, readerResolved } from '../scheduler'
import { HEARTBEAT } from '../web'

/** How many characters may wait for the reader before the socket waits. */
const HIGH_WATER = 64 * 1024

const encoder = new TextEncoder()

export class EventStream {
  readonly readable: ReadableStream<Uint8Array>
  /** Gone when the stream has ended. */
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #call: CallHandle | undefined
  /** What waits for the reader. */
  #text = ''
  /** A reader waits for what comes. */
  #wanted = false
  /** And has a turn coming. */
  #asked = false
  #ended = false
  #failure: { error: unknown } | undefined
  #lastMs = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor() {
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          this.#wanted = true
          if (this.#text === '' || mayRead()) this.#hand()
          else this.#ask()
        },
        cancel: (reason) => {
          this.#stop()
          this.#controller = undefined
          this.#call?.cancel(reason ?? new DOMException('The body was cancelled', 'AbortError'))
        },
      },
      // Nothing waits on the other side: an error comes after what was received, and does not wipe it out.
      { highWaterMark: 0 },
    )
  }

  /** Whose pieces these are. */
  attach(call: CallHandle) {
    this.#call = call
  }

  /** Sends a comment whenever nothing else was sent for so long. */
  keepAlive(everyMs: number, beat: () => void) {
    const tick = () => {
      const left = this.#lastMs + everyMs - performance.now()
      if (left <= 0) {
        this.#lastMs = performance.now()
        beat()
        if (this.#wanted && this.#text === '') this.#push(HEARTBEAT)
      }
      this.#timer = setTimeout(tick, left > 0 ? left : everyMs).unref()
    }
    if (this.#timer === undefined && !this.#ended) {
      this.#lastMs = performance.now()
      this.#timer = setTimeout(tick, everyMs).unref()
    }
  }

  /** One event. */
  send(data: string) {
    // JSON may have line breaks between its tokens, where a provider prints it prettily.
    const lines = data.includes('\n') ? data.replaceAll('\n', '\ndata: ') : data
    this.#push(`data: ${lines}\n\n`)
    if (this.#text.length >= HIGH_WATER) this.#call?.pause()
  }

  /** One event, as it goes over the wire. */
  pass(event: string) {
    this.#push(event)
    if (this.#text.length >= HIGH_WATER) this.#call?.pause()
  }

  /** The turn that was asked for. */
  again() {
    this.#asked = false
    this.#hand()
  }

  end() {
    this.#stop()
    this.#hand()
  }

  /** The reader gets what was received, and then this. */
  fail(error: unknown) {
    if (this.#ended) return
    this.#failure = { error }
    this.end()
  }

  #push(text: string) {
    if (this.#ended) return
    this.#text += text
    // All pieces of one batch go together.
    if (this.#wanted) this.#ask()
  }

  #ask() {
    if (this.#asked) return
    this.#asked = true
    this.#call?.again()
  }

  #hand() {
    if (this.#wanted && this.#text !== '' && this.#controller) {
      const text = this.#text
      this.#text = ''
      this.#wanted = false
      this.#lastMs = performance.now()
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
