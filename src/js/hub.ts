/**
 * The dispatcher: the JavaScript end of the queue that `src/binding/hub.rs` fills. A wake-up takes
 * batches, sorts their records by call, and runs each call's share in the async context in which the
 * call was started, entered once a batch. It stops after a few milliseconds and goes on in the next
 * turn of the event loop, so that no burst holds the loop.
 */
import { AsyncResource } from 'node:async_hooks'
import { performance } from 'node:perf_hooks'
import { type ErrorRecord, fromRecord } from './errors'
import { addon } from './native'

/** The kinds of records; `Record` in `src/binding/hub.rs` has the same numbers. */
const PIECE = 0
const COMPLETE = 1
const END = 2
const ERROR = 3
const JUDGE = 5
const RESTART = 6
/** The bit in a kind that says: the text is a string of its own. */
const OWN = 8

/** What a call is handed while its answer comes. */
export const TEXT = 0
export const CHUNKS = 1
export const NOTHING = 2

/** Words before the records in the shared array. */
const HEADER = 2
/** And words of a record: call, kind, length. */
const WORDS = 3
/** How long one turn may take, in milliseconds. */
const TURN_MS = 4
/** The snapshot of a call that Rust does not know: it was refused, or has ended, before anything came. */
export const emptySnapshot = () =>
  JSON.stringify({
    version: 1,
    sessionId: addon.sessionId(),
    answer: { text: '', pieces: 0 },
    attempts: [],
    recoveries: 0,
    parts: [],
    seams: [],
  })
/** How many records are handled between two looks at the clock. */
const STRIDE = 8
/** How many pieces may wait for a consumer that awaits before its socket is paused, and when it goes on. */
const HIGH_WATER = 64
const LOW_WATER = 16
/** How many handled records a list may hold before they are taken out of it. */
const MAX_HANDLED = 256

/** Who is told what comes. What `piece` throws, or its promise rejects with, ends the call. */
export interface Consumer {
  piece?(text: string): unknown
  /** Every piece has come; `text` is their sum where no pieces were wanted. */
  complete?(text: string): void
  end(json: string): void
  error(error: unknown): void
  event?(json: string): void
  /** What came so far is void: the answer begins anew. */
  restart?(): void
  /** Whether an error counts as a failure for a breaker. */
  judge?(error: Error): boolean
}

export interface CallHandle {
  /** Lets the call begin; `TEXT`, `CHUNKS` or `NOTHING`. */
  begin(mode: number): void
  /** Ends the call; the consumer is told `reason` at once. */
  cancel(reason: unknown): void
  pause(): void
  resume(): void
  /** What the call has come to, as JSON. */
  snapshot(): string
}

/** A record that is no piece. */
interface Note {
  readonly kind: number
  readonly text: string
}
/** What waits for its call: pieces are plain strings. */
type Item = string | Note

const calls = new Map<number, InFlight>()
const ready: InFlight[] = []
/** The strings of a batch that are not cut out of its text. */
const own: string[] = []
/** How many calls have not been told their end. */
export const underWay = () => calls.size

let shared: Uint32Array
let hub: InstanceType<typeof addon.NativeHub> | undefined
let scheduled = false
let more = false
/** When this turn has to end, and how many records it has handled. */
let until = 0
let handled = 0

function nativeHub() {
  if (hub === undefined) {
    shared = new Uint32Array(addon.NativeHub.sharedWords())
    hub = new addon.NativeHub(shared, wake)
  }
  return hub
}

/** Shared by the calls for which no list of items waits; never written to. */
const NOTHING_WAITS: Item[] = []

/** One call on this side of the boundary. */
class InFlight extends AsyncResource implements CallHandle {
  /** What waits: mostly it is one item, which needs no list. */
  private first: Item | undefined
  private rest: Item[] = NOTHING_WAITS
  private head = 0
  /** A promise of the consumer is awaited. */
  private blocked = false
  private paused = false
  /** Paused because the consumer awaits, not because it said so. */
  private overrun = false
  private settled = false
  /** What it had come to when it was cancelled. */
  private last: string | undefined
  queued = false
  /** The consumer's own: what is touched for each piece is kept short. */
  private readonly onPiece: ((text: string) => unknown) | undefined

  constructor(
    readonly id: number,
    private readonly consumer: Consumer,
    private readonly coalesce: boolean,
  ) {
    super('HOLYSHEEP')
    this.onPiece = consumer.piece
  }

  begin(mode: number) {
    nativeHub().begin(this.id, mode)
  }

  cancel(reason: unknown) {
    this.stop()
    this.fail(reason)
  }

  /** Ends the call in Rust, which forgets it then. */
  private stop() {
    this.last ??= this.snapshot()
    nativeHub().cancel(this.id)
  }

  snapshot(): string {
    return this.last ?? nativeHub().snapshot(this.id) ?? emptySnapshot()
  }

  pause() {
    if (this.paused) return
    this.paused = true
    nativeHub().pause(this.id)
  }

  resume() {
    if (!this.paused) return
    this.paused = false
    nativeHub().resume(this.id)
  }

  add(kind: number, text: string) {
    const item = kind === PIECE ? text : { kind, text }
    if (this.first === undefined) this.first = item
    else if (this.rest === NOTHING_WAITS) this.rest = [item]
    else this.rest.push(item)
    if (!this.blocked) {
      if (this.queued) return
      this.queued = true
      ready.push(this)
    } else if (kind === ERROR) this.overrule(text)
    else if (this.left() > HIGH_WATER) {
      this.overrun = true
      this.pause()
    }
  }

  /** How many records are not handled yet. */
  private left() {
    return this.first === undefined ? 0 : 1 + this.rest.length - this.head
  }

  private shift() {
    if (this.head < this.rest.length) {
      this.first = this.rest[this.head++]
      // Of a call that is never quite up to date: what is handled must not pile up.
      if (this.head >= MAX_HANDLED && 2 * this.head >= this.rest.length) {
        this.rest = this.rest.slice(this.head)
        this.head = 0
      }
    } else {
      this.first = undefined
      this.rest = NOTHING_WAITS
      this.head = 0
    }
  }

  /** Handles what has come. False when there is something left for the next turn. */
  run(): boolean {
    return this.runInAsyncScope(this.drain, this)
  }

  private drain(): boolean {
    let delivered = false
    for (let item = this.first; item !== undefined; item = this.first) {
      if (++handled % STRIDE === 0 && performance.now() >= until) return false
      if (typeof item === 'string') {
        delivered = true
        this.shift()
        this.piece(this.coalesce ? this.join(item) : item)
      } else {
        // What was just handed over is void: whoever awaits it gets his turn before he is told so.
        if (item.kind === RESTART && delivered) return false
        this.shift()
        this.handle(item.kind, item.text)
      }
      if (this.overrun && this.left() <= LOW_WATER) {
        this.overrun = false
        this.resume()
      }
      if (this.blocked) break
    }
    return true
  }

  private join(text: string): string {
    let joined = text
    for (let next = this.first; typeof next === 'string'; next = this.first) {
      joined += next
      this.shift()
    }
    return joined
  }

  private piece(text: string) {
    if (this.settled) return
    // Not as a method: the caller's function gets no `this` of ours.
    const { onPiece } = this
    try {
      const returned = onPiece?.(text) as PromiseLike<unknown> | undefined
      if (typeof returned?.then === 'function') this.block(returned)
    } catch (error) {
      this.broke(error)
    }
  }

  private handle(kind: number, text: string) {
    const record = kind === ERROR ? (JSON.parse(text) as ErrorRecord) : undefined
    if (kind === END || kind === ERROR) {
      if (record) this.last ??= record.snapshot ?? this.snapshot()
      calls.delete(this.id)
      nativeHub().ended(this.id)
    }
    if (this.settled) return
    try {
      if (kind === COMPLETE) {
        this.consumer.complete?.(text)
      } else if (kind === END) {
        this.settled = true
        this.consumer.end(text)
      } else if (kind === ERROR) {
        this.fail(fromRecord(record as ErrorRecord))
      } else if (kind === JUDGE) {
        const isFailure = this.consumer.judge?.(fromRecord(JSON.parse(text)))
        nativeHub().answer(this.id, Boolean(isFailure))
      } else if (kind === RESTART) {
        this.consumer.restart?.()
      } else {
        this.consumer.event?.(text)
      }
    } catch (error) {
      this.broke(error)
    }
  }

  /** The consumer's own error: it ends this call and nothing else. */
  private broke(error: unknown) {
    this.stop()
    this.fail(error)
  }

  private fail(reason: unknown) {
    if (this.settled) return
    this.settled = true
    this.consumer.error(reason)
    this.unblock()
  }

  /** The deadline and `close()` do not wait for a consumer. */
  private overrule(text: string) {
    const error = fromRecord(JSON.parse(text)) as Error & { code?: string; phase?: string }
    if (error.code === 'CLIENT_CLOSED' || error.phase === 'total') this.runInAsyncScope(this.fail, this, error)
  }

  private block(promise: PromiseLike<unknown>) {
    this.blocked = true
    promise.then(
      () => this.unblock(),
      (error) => this.cancel(error),
    )
  }

  private unblock() {
    if (!this.blocked) return
    this.blocked = false
    if (this.first !== undefined && !this.queued) {
      this.queued = true
      ready.push(this)
      schedule()
    }
  }
}

function schedule() {
  if (scheduled) return
  scheduled = true
  setImmediate(resumeTurn)
}

function resumeTurn() {
  scheduled = false
  turn()
}

/** Sorts one batch by calls. */
function take() {
  const text = nativeHub().take(own)
  const end = HEADER + WORDS * (shared[0] as number)
  more = shared[1] === 1
  let position = 0
  let owned = 0
  /** Whose the record before was; no call is number 0. */
  let id = 0
  let call: InFlight | undefined
  for (let at = HEADER; at < end; at += WORDS) {
    let kind = shared[at + 1] as number
    let piece: string
    if (kind >= OWN) {
      kind -= OWN
      piece = own[owned++] as string
    } else {
      const from = position
      position += shared[at + 2] as number
      piece = text.substring(from, position)
    }
    // Pieces that came together lie together.
    if (shared[at] !== id) {
      id = shared[at] as number
      call = calls.get(id)
    }
    call?.add(kind, piece)
  }
  if (owned > 0) own.length = 0
}

/** Rust has something. It may come while something is left of the last batch: then that goes first. */
function wake() {
  more = true
  turn()
}

/** One turn of the dispatcher; never throws. */
function turn() {
  until = performance.now() + TURN_MS
  handled = 0
  // What is left of the last batch goes first: a batch is taken when there is nothing else.
  if (ready.length === 0) take()
  for (let index = 0; index < ready.length; index++) {
    const call = ready[index] as InFlight
    if (!call.run()) {
      ready.splice(0, index)
      schedule()
      return
    }
    call.queued = false
  }
  ready.length = 0
  // Taking on disarms the queue only when it is empty; otherwise coming back is our part.
  if (more) schedule()
}

/**
 * Starts a call. `enter` calls into Rust with the hub and returns the id of the call.
 * The process stays alive until the call has ended.
 */
export function open(
  consumer: Consumer,
  options: { coalesce?: boolean; signal?: AbortSignal },
  enter: (hub: InstanceType<typeof addon.NativeHub>) => number,
): CallHandle {
  const { signal } = options
  // What throws here throws before anything listens.
  const id = enter(nativeHub())
  const wrapped = signal ? listening(consumer, signal, () => call.cancel(signal.reason)) : consumer
  const call: InFlight = new InFlight(id, wrapped, options.coalesce === true)
  calls.set(call.id, call)
  nativeHub().begun()
  return call
}

/** The consumer, with an abort listener that lasts as long as the call. */
function listening(consumer: Consumer, signal: AbortSignal, abort: () => void): Consumer {
  signal.addEventListener('abort', abort, { once: true })
  const stop = () => signal.removeEventListener('abort', abort)
  return {
    ...consumer,
    end(json) {
      stop()
      consumer.end(json)
    },
    error(error) {
      stop()
      consumer.error(error)
    },
  }
}
