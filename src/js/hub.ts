/**
 * The dispatcher: the JavaScript end of the queue that `src/binding/hub.rs` fills. A turn takes a batch
 * and hands its records over, those of one call that lie together in one go, in the async context in
 * which the call was started. What cannot be handed over yet is kept with its call. A turn ends after a
 * few milliseconds and goes on in the next turn of the event loop, so that no burst holds the loop.
 */
import { type CallHandle, type Consumer, emptySnapshot, listening, TEXT } from './call-handle'
import { type ErrorRecord, fromRecord } from './errors'
import { Kept } from './kept'
import { addon } from './native'
import {
  beginTurn,
  goOn,
  holdRound,
  inMs,
  inNextRound,
  isLate,
  lookSoon,
  NOBODY,
  oncePerRound,
  RING,
  woke,
} from './turn'

/** The kinds of records; `RecordKind` in `src/binding/batch.rs` has the same numbers. */
const PIECE = 0
const COMPLETE = 1
const END = 2
const ERROR = 3
const JUDGE = 5
const RESTART = 6
/** The bit in a kind that says: the text is a string of its own. */
const OWN = 8

/** When the next batch is taken; `NextTake` in `src/binding/queue.rs` has the same numbers. */
const PACED = 1
const AT_ONCE = 2

/** Words before the records in the shared array. */
const HEADER = 2
/** And words of a record: call, kind, length. */
const WORDS = 3
/** How many pieces may wait for a consumer that awaits before its socket is paused, and when it goes on. */
const HIGH_WATER = 64
const LOW_WATER = 16
/** By their numbers. An array, and numbers that are given anew: to find a call is to touch little. */
const calls: (InFlight | undefined)[] = []
let inFlight = 0
/** How many calls have not been told their end. */
export const underWay = () => inFlight
/**
 * Calls that keep something which they can be handed: those whose turn it is, the first of them that has not had
 * it, and those who come after the next batch, so that neither waits for ever for the other.
 */
let ready: InFlight[] = []
let first = 0
let queued: InFlight[] = []

// The batch: its joined text and the strings that are not cut out of that, and how far each was read.
let text = ''
let position = 0
const own: string[] = []
let owned = 0
/** The record that is next, and where they end. */
let at = 0
let end = 0

let shared: Uint32Array
let hub: InstanceType<typeof addon.NativeHub> | undefined
let pace = 0
/** What the last batch has said of the next one. */
let next = 0
/** The number of this turn; and it is running: what is queued in it has its turn, or another one follows. */
let turns = 0
let turning = false

function nativeHub() {
  if (hub === undefined) {
    const words = new Uint32Array(addon.NativeHub.sharedWords())
    hub = NOBODY.runInAsyncScope(() => new addon.NativeHub(words, wake, RING))
    shared = words
    pace = addon.NativeHub.pollIntervalMs()
  }
  return hub
}

/** One call on this side of the boundary. */
class InFlight extends Kept implements CallHandle {
  // First what each piece touches: with a thousand calls none of it is in the cache.
  /** The consumer's own. */
  private readonly onPiece: ((text: string) => unknown) | undefined
  readonly id: number
  /** A promise of the consumer is awaited. */
  private blocked = false
  private settled = false
  private coalesce: boolean
  private paused = false
  /** Paused because the consumer awaits, not because it said so. */
  private overrun = false
  /** Rust knows it. After that its number may be another's. */
  private known = true
  /** What it had come to when it was cancelled. */
  private last: string | undefined
  /** The turn in which it was handed a piece last. */
  private deliveredIn = 0
  /** Its reader waits for a turn. */
  private asked = false
  queued = false
  private readonly consumer: Consumer

  constructor(id: number, consumer: Consumer, coalesce: boolean) {
    super()
    this.id = id
    this.consumer = consumer
    this.onPiece = consumer.piece
    this.coalesce = coalesce
  }

  begin(mode: number) {
    // Chunks are not text: each is a piece of its own.
    this.coalesce &&= mode === TEXT
    if (this.known) nativeHub().begin(this.id, mode)
  }

  cancel(reason: unknown) {
    this.stop()
    this.fail(reason, true)
  }

  /** Ends the call in Rust, which forgets it then. */
  private stop() {
    this.last ??= this.snapshot()
    if (this.known) nativeHub().cancel(this.id)
  }

  snapshot(): string {
    return this.last ?? (this.known ? nativeHub().snapshot(this.id) : undefined) ?? emptySnapshot()
  }

  pause() {
    if (this.paused || !this.known) return
    this.paused = true
    nativeHub().pause(this.id)
  }

  resume() {
    if (!this.paused || !this.known) return
    this.paused = false
    nativeHub().resume(this.id)
  }

  /** What comes can be handed over as it is: nothing waits before it, and nothing is joined with it. */
  isDirect() {
    return this.first === undefined && !this.blocked && !this.coalesce
  }

  again() {
    this.asked = true
    this.queue()
    if (!turning) schedule()
  }

  private queue() {
    if (this.queued) return
    this.queued = true
    queued.push(this)
  }

  /** Hands over the records from `at` on that are this call's. False when the rest is for the next turn. */
  handOver(): boolean {
    return this.runInAsyncScope(this.readOn, this)
  }

  private readOn(): boolean {
    const { id } = this
    const words = shared
    let handled = 0
    while (at < end && words[at] === id && !this.blocked) {
      // There may be many of them, each as slow as the first one, where the calls before were quick.
      if (handled++ === 1) lookSoon()
      const kind = (words[at + 1] as number) & ~OWN
      // What was just handed over is void: whoever awaits it gets his turn before he is told so.
      if (isLate() || (kind === RESTART && this.deliveredIn === turns)) return false
      const text = read(words)
      if (kind === PIECE) {
        this.deliveredIn = turns
        this.piece(text)
      } else {
        this.handle(kind, text)
      }
    }
    return true
  }

  /** Keeps a record until the call can be handed it. */
  add(kind: number, text: string) {
    this.keep(kind === PIECE ? text : { kind, text })
    if (!this.blocked) this.queue()
    else if (kind === ERROR) this.overrule(text)
    // What is joined does not pile up, unless it waits for a promise.
    if (this.left() > HIGH_WATER && (this.blocked || !this.coalesce)) {
      this.overrun = true
      this.pause()
    }
  }

  /** Handles what has come. False when there is something left for the next turn. */
  run(): boolean {
    return this.runInAsyncScope(this.drain, this)
  }

  private drain(): boolean {
    if (this.asked) {
      if (isLate()) return false
      this.asked = false
      this.deliveredIn = turns
      this.serve()
    }
    for (let item = this.first; item !== undefined && !this.blocked; item = this.first) {
      if (isLate()) return false
      if (typeof item === 'string') {
        this.deliveredIn = turns
        this.shift()
        this.piece(this.coalesce ? this.join(item) : item)
      } else {
        // As above.
        if (item.kind === RESTART && this.deliveredIn === turns) return false
        this.shift()
        this.handle(item.kind, item.text)
      }
      if (this.overrun && this.left() <= LOW_WATER) {
        this.overrun = false
        this.resume()
      }
    }
    return true
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

  /** Its reader goes on with what he has: that is all of it that this round of the loop has time for. */
  private serve() {
    holdRound()
    try {
      this.consumer.again?.()
    } catch (error) {
      this.broke(error)
    }
  }

  private handle(kind: number, text: string) {
    const record = kind === ERROR ? (JSON.parse(text) as ErrorRecord) : undefined
    if (kind === END || kind === ERROR) {
      if (record) this.last ??= record.snapshot ?? this.snapshot()
      calls[this.id] = undefined
      inFlight--
      this.known = false
      nativeHub().callEnded(this.id)
    }
    if (this.settled) return
    if (kind === COMPLETE || record || kind === END) woke()
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
        if (this.known) nativeHub().answer(this.id, Boolean(isFailure))
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

  private fail(reason: unknown, cancelled = false) {
    if (this.settled) return
    this.settled = true
    try {
      this.consumer.error(reason, cancelled)
    } finally {
      this.unblock()
    }
  }

  /** The deadline and `close()` do not wait for a consumer. */
  private overrule(text: string) {
    const error = fromRecord(JSON.parse(text)) as Error & { code?: string; phase?: string }
    if (error.code === 'CLIENT_CLOSED' || error.phase === 'total') this.runInAsyncScope(this.fail, this, error)
  }

  private block(promise: PromiseLike<unknown>) {
    this.blocked = true
    // What it does when it has awaited something is to count too.
    woke()
    promise.then(
      () => this.unblock(),
      (error) => this.cancel(error),
    )
  }

  private unblock() {
    if (!this.blocked) return
    this.blocked = false
    if (this.first !== undefined && !this.queued) {
      this.queue()
      schedule()
    }
  }
}

function schedule() {
  if (RING) inNextRound(turn)
  else nativeHub().scheduleWake()
}

/** Takes a batch. */
function take() {
  text = nativeHub().take(own)
  position = 0
  owned = 0
  at = HEADER
  end = HEADER + WORDS * (shared[0] as number)
  next = shared[1] as number
}

/** The text of the record that is next; the one after it is next then. */
function read(words: Uint32Array): string {
  const here = at
  at = here + WORDS
  if ((words[here + 1] as number) >= OWN) return own[owned++] as string
  const from = position
  position = from + (words[here + 2] as number)
  return text.substring(from, position)
}

/** Rust has something. It may come while something is left of the last batch: then that goes first. */
function wake() {
  next = AT_ONCE
  oncePerRound(turn)
}

/** One turn of the dispatcher. */
function turn() {
  turns++
  beginTurn()
  handOn()
}

function handOn() {
  let done = false
  turning = true
  try {
    done = deliver()
  } finally {
    turning = false
    // Unless Rust has said that it wakes us, coming back is our part.
    if (!done) goOn(handOn, schedule)
    else if (next === AT_ONCE) schedule()
    // Nobody wakes us while many calls stream: our timer falls together with the others of the loop.
    else if (next === PACED) inMs(pace, turn)
  }
}

/** False when something is left: for this turn, if others come first, or for the next one. */
function deliver(): boolean {
  // What is left of the last batch goes first, and then who was ready for it: only then there is another one.
  if (at === end && ready.length === 0) take()
  while (at < end) {
    const call = calls[shared[at] as number]
    if (call?.isDirect()) {
      if (!call.handOver()) return false
    } else if (isLate()) {
      return false
    } else {
      const kind = (shared[at + 1] as number) & ~OWN
      const record = read(shared)
      call?.add(kind, record)
    }
  }
  if (owned > 0) {
    own.length = 0
    owned = 0
  }
  if (ready.length === 0 && queued.length > 0) {
    ;[ready, queued] = [queued, ready]
    lookSoon(2)
  }
  for (; first < ready.length; first++) {
    const call = ready[first] as InFlight
    // Before it runs: it may ask for another turn in this one.
    call.queued = false
    if (!call.run()) return false
  }
  ready.length = 0
  first = 0
  return queued.length === 0
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
  calls[id] = call
  inFlight++
  nativeHub().callStarted()
  return call
}
