/**
 * The dispatcher: takes batches from the queue that `src/binding/hub.rs` fills, and lets each call handle its records in
 * the async context that the call was started in. Consecutive records of one call are handled together. A turn takes
 * batches until none is left or a few milliseconds are over, and then continues in the next round of the event loop, so
 * that a burst cannot block the loop.
 */
import { type CallHandle, type Consumer, withAbortListener } from './call-handle'
import { type Dispatcher, InFlightCall } from './in-flight-call'
import { addon } from './native'
import { AT_ONCE, type NativeHub, PACED, RecordBatch } from './record-batch'
import {
  afterMs,
  beginTurn,
  checkClockSoon,
  continueTurn,
  endTurn,
  inNextRound,
  mustYield,
  oncePerRound,
  rootContext,
} from './scheduler'
import { HAS_REAL_TIMERS } from './timers'

/** The calls in flight, by id. An array, because ids are reused and stay small. */
const calls: (InFlightCall | undefined)[] = []
let inFlight = 0
/** The number of calls that have not ended. */
export const callsInFlight = () => inFlight

/**
 * The calls whose turn it is, and the index of the first that has not been served. Calls enqueued
 * during a turn are served after the next batch, so that neither calls nor batches starve the other.
 */
let ready: InFlightCall[] = []
let nextReady = 0
let enqueued: InFlightCall[] = []

const batch = new RecordBatch()
let hub: NativeHub | undefined
let pollIntervalMs = 0

const dispatcher: Dispatcher & { turn: number; isRunning: boolean } = {
  batch,
  turn: 0,
  isRunning: false,
  nativeHub,
  enqueue(call: InFlightCall) {
    enqueued.push(call)
  },
  schedule,
  forget({ id }: InFlightCall) {
    calls[id] = undefined
    inFlight--
  },
}

/**
 * Starts a call. `enter` calls into Rust with the hub and returns the id of the call.
 * The process stays alive until the call has ended.
 */
export function open(
  consumer: Consumer,
  signal: AbortSignal | undefined,
  coalesce: boolean,
  enter: (hub: NativeHub) => number,
): CallHandle {
  // If this throws, no listener has been added yet.
  const id = enter(nativeHub())
  const abortable = signal ? withAbortListener(consumer, signal, () => call.cancel(signal.reason)) : consumer
  const call: InFlightCall = new InFlightCall(id, abortable, coalesce, dispatcher)
  calls[id] = call
  inFlight++
  nativeHub().callStarted()
  return call
}

function nativeHub(): NativeHub {
  if (hub === undefined) {
    const words = new Uint32Array(addon.NativeHub.sharedWords())
    hub = rootContext.runInAsyncScope(() => new addon.NativeHub(words, wake, HAS_REAL_TIMERS))
    batch.attach(words)
    pollIntervalMs = addon.NativeHub.pollIntervalMs()
  }
  return hub
}

/** Called from Rust when the queue has records. The rest of the last batch is delivered first. */
function wake() {
  batch.next = AT_ONCE
  oncePerRound(turn)
}

function schedule() {
  if (HAS_REAL_TIMERS) inNextRound(turn)
  else nativeHub().scheduleWake()
}

/** One turn of the dispatcher. */
function turn() {
  dispatcher.turn++
  beginTurn()
  runTurn()
}

function runTurn() {
  let done = false
  dispatcher.isRunning = true
  try {
    done = deliver()
  } finally {
    dispatcher.isRunning = false
    // The next turn is ours to schedule, unless Rust is going to wake us.
    if (!done) continueTurn(runTurn, schedule)
    else if (batch.next === AT_ONCE) schedule()
    // While many calls stream, Rust does not wake us. Our timer fires together with the loop's other timers.
    else if (batch.next === PACED) afterMs(pollIntervalMs, turn)
    endTurn()
  }
}

/** False if records or calls are left, for the rest of this turn or for the next one. */
function deliver(): boolean {
  for (;;) {
    if (!deliverBatch()) return false
    if (batch.next !== AT_ONCE) return enqueued.length === 0
    // More batches wait, and this turn has time for them.
    if (mustYield()) return false
  }
}

/** Delivers a batch, or the rest of one, and serves the calls that are ready after it. False if something is left of that. */
function deliverBatch(): boolean {
  // A new batch has to wait for the rest of the last one and for the calls that were ready then.
  if (batch.isEmpty && ready.length === 0) batch.take(nativeHub())
  for (let id = batch.callId; id !== undefined; id = batch.callId) {
    const call = calls[id]
    if (call?.isDirect()) {
      if (!call.handleBatch()) return false
    } else if (mustYield()) {
      return false
    } else {
      const { kind } = batch
      const text = batch.read()
      call?.add(kind, text)
    }
  }
  batch.release()
  if (ready.length === 0 && enqueued.length > 0) {
    ;[ready, enqueued] = [enqueued, ready]
    checkClockSoon(2)
  }
  for (; nextReady < ready.length; nextReady++) {
    const call = ready[nextReady] as InFlightCall
    // Cleared first, because the call may request another turn while it runs.
    call.enqueued = false
    if (!call.run()) return false
  }
  ready.length = 0
  nextReady = 0
  return true
}
