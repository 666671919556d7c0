/**
 * Decides when the dispatcher runs and for how long, so that a burst of deltas cannot block the event loop.
 *
 * The time of a turn includes callbacks and the readers whose promises the turn resolved. Readers run only after the
 * turn's own code has returned. A turn that has resolved a reader's promise therefore stops when its stride is over,
 * continues after the readers have run, and checks the clock then. Work that recurs within one round of the event loop
 * shares the time of one turn; the rest moves to the next round.
 */
import { AsyncResource } from 'node:async_hooks'
// Without real timers there are no rounds to divide the work into, so Rust then wakes us for every batch.
import { HAS_REAL_TIMERS, nextTick, now, setImmediate, setTimeout } from './timers'

/** The async context that turns run in. In a caller's context, turn after turn would keep that context alive. */
export const rootContext = new AsyncResource('HOLYSHEEP')

/** How long one turn may take, in milliseconds. */
const TURN_MS = 4
/**
 * The maximum number of records between two checks of the clock. A check costs as much as a record. The stride starts at 1 and grows
 * fourfold each time the records in between were quick.
 */
const MAX_STRIDE = 32
const QUICK_MS = 0.25
const RESOLVED = Promise.resolve()

/** When this turn has to end, and when the clock was last checked. */
let deadline = 0
let checkedAt = 0
/** The number of records per check of the clock, and how many are left until the next check. */
let stride = 1
let untilCheck = 0
/** Since the last check only deltas were handled. How long other records took says nothing about deltas. */
let onlyDeltas = true
/** The turn has resolved promises of readers that have not run yet. */
let readersPending = false
/** Work that may run once per round has run in this round. An immediate ends the round. */
let roundClaimed = false
/** The number of rounds in which work has run. */
let rounds = 1
/** In this round readers took deltas that had already arrived. */
let readInRound = false
/** The readers that got deltas before the last check of the clock have run. */
let readersHaveRun = true
/** The turn that starts the next round, and the turn that the timer starts. */
let nextRoundTurn: (() => void) | undefined
let timerTurn: (() => void) | undefined
/** The rest of a turn, which waits for readers to run, and the turn that replaces it if its time is over. */
let continuation: (() => void) | undefined
let fallback: (() => void) | undefined

export function beginTurn() {
  readersPending = false
  onlyDeltas = true
  checkedAt = now()
  deadline = checkedAt + TURN_MS
  stride = 1
  untilCheck = 2
}

/** Call this after resolving a promise that a reader awaits. */
export function readerResolved() {
  readersPending = true
}

/** Whether the turn has to stop before the next record: its time is over, or readers have to run first. */
export function mustYield() {
  return --untilCheck <= 0 && (readersPending || timeIsOver())
}

/** Checks the clock before the `nth` record from here. For records of another kind, whose duration is not known yet. */
export function checkClockSoon(nth = 1) {
  stride = 1
  untilCheck = nth
}

/** Call this after a record other than a delta. */
export function handledOtherRecord() {
  onlyDeltas = false
  untilCheck = Math.min(untilCheck, 2)
}

function timeIsOver() {
  const at = now()
  const over = at >= deadline
  stride = onlyDeltas && at - checkedAt < QUICK_MS ? Math.min(4 * stride, MAX_STRIDE) : 1
  // Once the time is over, the next check must say so too.
  untilCheck = over ? 0 : stride
  onlyDeltas = true
  checkedAt = at
  return over
}

/** Continues an unfinished turn with `more` after pending readers have run, or with `another` turn if none are pending. */
export function continueTurn(more: () => void, another: () => void) {
  if (!readersPending) return another()
  continuation = more
  fallback = another
  // A tick requested from a microtask runs when the microtask queue is empty, so after all readers.
  RESOLVED.then(HAS_REAL_TIMERS ? requestTick : afterReaders)
  // With a fake nextTick the turn continues in the next round.
  claimRound()
}

/**
 * Ends a turn. A turn that has used up its time is the only one of its round: the loop may serve a timer that is set
 * here in the same round, if the process is suspended until the timer is due.
 */
export function endTurn() {
  if (now() >= deadline) claimRound()
}

const requestTick = () => nextTick(afterReaders)

function afterReaders() {
  if (continuation === undefined) return
  const more = continuation
  continuation = undefined
  readersPending = false
  if (timeIsOver()) fallback?.()
  else more()
}

/** Runs `turn` in the next round of the event loop. */
export function inNextRound(turn: () => void) {
  nextRoundTurn = turn
  claimRound()
}

/**
 * Runs `turn` after `ms`, or in the round after that if work has claimed it. There is one timer at a time, and it does
 * not keep the process alive.
 */
export function afterMs(ms: number, turn: () => void) {
  if (timerTurn !== undefined) return
  timerTurn = turn
  setTimeout(onTimer, ms).unref()
}

function onTimer() {
  const turn = timerTurn as () => void
  timerTurn = undefined
  if (roundClaimed) inNextRound(turn)
  else turn()
}

/**
 * Runs `turn`, at most once per round. A thread that calls again before the turn returns is served up to a thousand
 * times in the same round (`kMaxIterationCount` in Node's `node_api.cc`).
 */
export function oncePerRound(turn: () => void) {
  if (roundClaimed) return inNextRound(turn)
  claimRound()
  turn()
}

/** Identifies this round of the event loop. It is never 0. */
export function currentRound(): number {
  claimRound()
  return HAS_REAL_TIMERS ? rounds : ++rounds
}

/** Marks this round as used, so that no second turn runs in it. */
export function claimRound() {
  if (roundClaimed || !HAS_REAL_TIMERS) return
  roundClaimed = true
  rounds++
  rootContext.runInAsyncScope(setImmediate, undefined, onNextRound)
}

function onNextRound() {
  roundClaimed = false
  readInRound = false
  const turn = nextRoundTurn ?? (continuation && fallback)
  nextRoundTurn = undefined
  continuation = undefined
  turn?.()
}

/**
 * Whether a reader may take a delta that has already arrived. A loop over such deltas never returns to the event loop,
 * so all readers of a round share the time of one turn, which is the dispatcher's turn if there was one.
 */
export function mayRead() {
  // With fake timers nothing would keep the process alive until a deferred reader is served.
  if (!HAS_REAL_TIMERS) return true
  if (!readInRound) return beginReading()
  if (--untilCheck > 0) return true
  // If the readers have not run since the last check, the clock cannot show what they cost.
  if (!readersHaveRun || timeIsOver()) return false
  awaitReaders()
  return true
}

function beginReading() {
  if (!roundClaimed) {
    claimRound()
    if (now() >= deadline) beginTurn()
  }
  readInRound = true
  awaitReaders()
  checkedAt = now()
  checkClockSoon()
  return checkedAt < deadline
}

function awaitReaders() {
  readersHaveRun = false
  RESOLVED.then(onReadersHaveRun)
}

function onReadersHaveRun() {
  readersHaveRun = true
}
