/** A call in flight: passes the records that come out of Rust to the call's consumer. */
import { type CallHandle, type Consumer, emptySnapshot, TEXT } from './call-handle'
import { type ErrorRecord, fromRecord } from './errors'
import { PendingRecords } from './pending-records'
import { LONG_TEXT, type NativeHub, type RecordBatch, RecordKind } from './record-batch'
import { checkClockSoon, claimRound, currentRound, handledOtherRecord, mustYield, readerResolved } from './scheduler'

/** How many deltas may wait for a consumer that awaits before its socket is paused, and when it resumes. */
const HIGH_WATER = 64
const LOW_WATER = 16

/** What a call needs from the dispatcher. */
export interface Dispatcher {
  readonly batch: RecordBatch
  /** The number of the current turn. */
  readonly turn: number
  /** Whether a turn is running. Calls that are enqueued during a turn are served without `schedule`. */
  readonly isRunning: boolean
  nativeHub(): NativeHub
  /** Has the call's `run` called after the next batch. */
  enqueue(call: InFlightCall): void
  /** Requests a turn. */
  schedule(): void
  /** Passes the call no more records: it has ended, or nobody wants them. */
  forget(call: InFlightCall): void
}

export class InFlightCall extends PendingRecords implements CallHandle {
  // The fields that each delta touches come first: with a thousand calls, none of them is in the cache.
  /** Copied from the consumer, so that the caller's function is not called with our `this`. */
  private readonly onDelta: ((text: string) => unknown) | undefined
  readonly id: number
  /** A promise of the consumer is pending. */
  private blocked = false
  private settled = false
  private coalesce: boolean
  private paused = false
  /** Paused because the consumer awaits, and not through `pause`. */
  private overrun = false
  /** The round of the event loop in which Rust last learned that the consumer of the paused call takes deltas. */
  private tookInRound = 0
  /** Rust knows the call. After that another call may have its id. */
  private known = true
  /** How many attempts had begun when Rust forgot the call. */
  private lastAttempts = 0
  /** The snapshot at the time of the cancellation. */
  private lastSnapshot: string | undefined
  /** The last turn in which the consumer got a delta. */
  private lastDeltaTurn = 0
  /** The consumer has requested a turn. */
  private turnRequested = false
  /** Whether the dispatcher is going to call `run`. */
  enqueued = false

  constructor(
    id: number,
    private readonly consumer: Consumer,
    coalesce: boolean,
    private readonly dispatcher: Dispatcher,
  ) {
    super()
    this.id = id
    this.onDelta = consumer.delta
    this.coalesce = coalesce
  }

  begin(mode: number) {
    // A chunk is JSON, and JSON cannot be joined.
    this.coalesce &&= mode === TEXT
    if (this.known) this.dispatcher.nativeHub().begin(this.id, mode)
  }

  cancel(reason: unknown) {
    this.stop()
    this.fail(reason, true)
  }

  /** Ends the call in Rust. Its end would tell nobody anything, so it has no record. */
  private stop() {
    if (!this.known) return
    if (this.consumer.takesSnapshots) this.lastSnapshot ??= this.snapshot()
    const attempts = this.dispatcher.nativeHub().cancel(this.id)
    // If the end is already on the way, it is ignored when it arrives.
    if (attempts === null) return
    this.lastAttempts = attempts
    this.known = false
    this.dispatcher.forget(this)
    this.clearPending()
  }

  snapshot(): string {
    const { known, lastSnapshot } = this
    return lastSnapshot ?? (known ? this.dispatcher.nativeHub().snapshot(this.id) : undefined) ?? emptySnapshot()
  }

  attempts(): number {
    return this.known ? this.dispatcher.nativeHub().attempts(this.id) : this.lastAttempts
  }

  pause() {
    if (this.paused || !this.known) return
    this.paused = true
    this.dispatcher.nativeHub().pause(this.id)
  }

  resume() {
    if (!this.paused || !this.known) return
    this.paused = false
    this.dispatcher.nativeHub().resume(this.id)
  }

  took() {
    if (!this.paused || !this.known) return
    // Once per round is enough for a limit of minutes, and costs the deltas after the first nothing.
    const round = currentRound()
    if (this.tookInRound === round) return
    this.tookInRound = round
    this.dispatcher.nativeHub().took(this.id)
  }

  requestTurn() {
    this.turnRequested = true
    this.enqueue()
    if (!this.dispatcher.isRunning) this.dispatcher.schedule()
  }

  private enqueue() {
    if (this.enqueued) return
    this.enqueued = true
    this.dispatcher.enqueue(this)
  }

  /** Whether records can be handled straight from the batch: no record is pending, and deltas are not joined. */
  isDirect() {
    return this.firstPending === undefined && !this.blocked && !this.coalesce
  }

  /** Handles the next records of the batch while they are of this call. False if the turn has to end first. */
  handleBatch(): boolean {
    return this.runInAsyncScope(this.readBatch, this)
  }

  private readBatch(): boolean {
    const { id, dispatcher } = this
    const { batch } = dispatcher
    const { words, end } = batch
    let deltas = 0
    while (batch.at < end && words[batch.at] === id && !this.blocked) {
      const kind = (words[batch.at + 1] as number) & ~LONG_TEXT
      // There may be many more deltas, each as slow as the first, even if the records before it were quick.
      if (kind === RecordKind.Delta && deltas++ === 1) checkClockSoon()
      // A restart voids the deltas of this turn. Their reader has to run before it learns of the restart.
      if (mustYield() || (kind === RecordKind.Restart && this.lastDeltaTurn === dispatcher.turn)) return false
      const text = batch.read()
      if (kind === RecordKind.Delta) {
        this.lastDeltaTurn = dispatcher.turn
        this.delta(text)
      } else {
        this.control(kind, text)
      }
    }
    return true
  }

  /** Stores a record that cannot be handled yet. */
  add(kind: number, text: string) {
    this.pushPending(kind === RecordKind.Delta ? text : { kind, text })
    if (!this.blocked) this.enqueue()
    else if (kind === RecordKind.Error) this.failNow(text)
    // Joined deltas do not pile up, unless the consumer's promise is pending.
    if (this.pendingCount() > HIGH_WATER && (this.blocked || !this.coalesce)) {
      this.overrun = true
      this.pause()
    }
  }

  /** Serves a requested turn and handles pending records. False if the turn has to end first. */
  run(): boolean {
    return this.runInAsyncScope(this.drain, this)
  }

  private drain(): boolean {
    const { dispatcher } = this
    if (this.turnRequested) {
      if (mustYield()) return false
      this.turnRequested = false
      this.lastDeltaTurn = dispatcher.turn
      this.serveTurn()
    }
    let deltas = 0
    for (let record = this.firstPending; record !== undefined && !this.blocked; record = this.firstPending) {
      // As in `readBatch`.
      if (typeof record === 'string' && deltas++ === 1) checkClockSoon()
      if (mustYield()) return false
      if (typeof record === 'string') {
        this.lastDeltaTurn = dispatcher.turn
        this.shiftPending()
        this.delta(this.coalesce ? this.joinPending(record) : record)
      } else {
        // As in `readBatch`.
        if (record.kind === RecordKind.Restart && this.lastDeltaTurn === dispatcher.turn) return false
        this.shiftPending()
        this.control(record.kind, record.text)
      }
      if (this.overrun && this.pendingCount() <= LOW_WATER) {
        this.overrun = false
        this.resume()
      } else if (this.overrun) {
        this.took()
      }
    }
    return true
  }

  private delta(text: string) {
    if (this.settled) return
    const { onDelta } = this
    try {
      const returned = onDelta?.(text) as PromiseLike<unknown> | undefined
      if (typeof returned?.then === 'function') this.block(returned)
    } catch (error) {
      this.consumerFailed(error)
    }
  }

  /** Lets the consumer continue with the deltas that it holds. That uses up this round of the event loop. */
  private serveTurn() {
    claimRound()
    try {
      this.consumer.turn?.()
    } catch (error) {
      this.consumerFailed(error)
    }
  }

  /** Handles a record other than a delta. */
  private control(kind: number, text: string) {
    handledOtherRecord()
    // Nobody reads the error of a call that its consumer has ended.
    const record = kind === RecordKind.Error && !this.settled ? (JSON.parse(text) as ErrorRecord) : undefined
    if (kind === RecordKind.End || kind === RecordKind.Error) {
      if (record && this.consumer.takesSnapshots) this.lastSnapshot ??= record.snapshot ?? this.snapshot()
      this.known = false
      this.dispatcher.forget(this)
      this.lastAttempts = this.dispatcher.nativeHub().callEnded(this.id)
    }
    if (this.settled) return
    if (kind === RecordKind.Complete || record || kind === RecordKind.End) readerResolved()
    try {
      if (kind === RecordKind.Complete) {
        this.consumer.complete?.(text)
      } else if (kind === RecordKind.End) {
        this.settled = true
        this.consumer.end(text)
      } else if (kind === RecordKind.Error) {
        this.fail(fromRecord(record as ErrorRecord))
      } else if (kind === RecordKind.IsFailure) {
        const isFailure = this.consumer.isFailure?.(fromRecord(JSON.parse(text)))
        if (this.known) this.dispatcher.nativeHub().answer(this.id, Boolean(isFailure))
      } else if (kind === RecordKind.Restart) {
        this.consumer.restart?.()
      } else {
        this.consumer.event?.(text)
      }
    } catch (error) {
      this.consumerFailed(error)
    }
  }

  /** An error of the consumer ends this call and no other. */
  private consumerFailed(error: unknown) {
    this.stop()
    this.fail(error)
  }

  private fail(reason: unknown, canceled = false) {
    if (this.settled) return
    this.settled = true
    try {
      this.consumer.error(reason, canceled)
    } finally {
      this.unblock()
    }
  }

  /**
   * Fails a blocked call at once if its deadline has passed, its client is closed, or its consumer was paused for too long:
   * none of these waits for a consumer.
   */
  private failNow(text: string) {
    const error = fromRecord(JSON.parse(text)) as Error & { code?: string; phase?: string }
    if (error.code === 'CLIENT_CLOSED' || error.phase === 'total' || error.phase === 'paused')
      this.runInAsyncScope(this.fail, this, error)
  }

  private block(promise: PromiseLike<unknown>) {
    this.blocked = true
    // What the consumer does after its `await` counts as time of the turn too.
    readerResolved()
    promise.then(
      () => this.unblock(),
      (error) => this.cancel(error),
    )
  }

  private unblock() {
    if (!this.blocked) return
    this.blocked = false
    if (this.firstPending !== undefined && !this.enqueued) {
      this.enqueue()
      this.dispatcher.schedule()
    }
  }
}
