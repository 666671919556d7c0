/**
 * When the dispatcher may run, for how long, and whose time counts: the work of callbacks, and that of readers who
 * were given what they awaited. These run when a turn's own code is through, so a turn that has woken some of them
 * goes on only when they have run, and looks at the clock then. What comes again and again within one round of the
 * loop shares one turn's time, and is put off to the next round.
 */
import { AsyncResource } from 'node:async_hooks'
import { performance } from 'node:perf_hooks'
import * as timers from 'node:timers'

// Held on to: whoever fakes timers in a test does not mean ours.
const { clearImmediate, clearTimeout, setImmediate, setTimeout } = timers
const { nextTick } = process
/** Whether they are Node's: who loads this while timers are faked has none that ring, and is woken for everything. */
export const RING = areReal()
/** The context in which turns run, that of whoever loads this: a caller's would be kept alive by turn after turn. */
export const NOBODY = new AsyncResource('HOLYSHEEP')

/** How long one turn may take, in milliseconds. */
const TURN_MS = 4
/**
 * How many records are handled between two looks at the clock, at most: a look costs as much as a record. It is
 * one after the other where they took their time, and four times as many each time they did not.
 */
const LONGEST_STRIDE = 32
const QUICK_MS = 0.25
const RESOLVED = Promise.resolve()

/** When this turn has to end; when the clock was last looked at, the stride, and what is left of it. */
let until = 0
let seen = 0
let stride = 1
let unseen = 0
/** Readers were given what they awaited, and have not run yet. */
let woken = false
/** Something was begun in this round of the loop that may come once in a round: an immediate ends the round. */
let held = false
/** In this round readers were given what was there already; those who were given it before the last look have run. */
let reading = false
let haveRun = true
/** The turn that the next round begins with, and the one that the timer brings. */
let wanted: (() => void) | undefined
let timed: (() => void) | undefined
/** The rest of a turn, which waits for those who were woken, and what is done when there is no time left for it. */
let rest: (() => void) | undefined
let instead: (() => void) | undefined

export function beginTurn() {
  woken = false
  seen = performance.now()
  until = seen + TURN_MS
  stride = 1
  unseen = 2
}

/** Told by whoever resolves a promise in a turn. */
export function woke() {
  woken = true
}

/** A record may not be handled now: the turn's time is over, or those who were woken come first. */
export function isLate() {
  return --unseen <= 0 && (woken || isOver())
}

/** What comes now is of another kind, of which how quick the last ones were says nothing: the clock is looked at before `nth`. */
export function lookSoon(nth = 1) {
  stride = 1
  unseen = nth
}

function isOver() {
  const now = performance.now()
  const over = now >= until
  stride = now - seen < QUICK_MS ? Math.min(4 * stride, LONGEST_STRIDE) : 1
  // Once it is over it is over for everybody.
  unseen = over ? 0 : stride
  seen = now
  return over
}

/** Goes on with a turn that did not get through: at once when those who were woken have run, or in another turn. */
export function goOn(more: () => void, another: () => void) {
  if (!woken) return another()
  rest = more
  instead = another
  // A tick that is asked for by a promise comes when no promise has anything left to do.
  RESOLVED.then(RING ? askForTick : afterThem)
  // And where ticks are faked it goes on in the next round.
  holdRound()
}

const askForTick = () => nextTick(afterThem)

function afterThem() {
  if (rest === undefined) return
  const more = rest
  rest = undefined
  woken = false
  if (isOver()) instead?.()
  else more()
}

/** Has `turn` run in the next round of the loop. */
export function inNextRound(turn: () => void) {
  wanted = turn
  holdRound()
}

/** Has `turn` run when `ms` have passed, or in the next round where that one is held. One timer at a time; it holds no process. */
export function inMs(ms: number, turn: () => void) {
  if (timed !== undefined) return
  timed = turn
  setTimeout(ring, ms).unref()
}

function ring() {
  const turn = timed as () => void
  timed = undefined
  if (held) inNextRound(turn)
  else turn()
}

/**
 * Runs `turn` once in a round. Whoever calls from another thread, and has called again before the turn was through,
 * is let in up to a thousand times before the loop goes round (`kMaxIterationCount` in Node's `node_api.cc`).
 */
export function oncePerRound(turn: () => void) {
  if (held) return inNextRound(turn)
  holdRound()
  turn()
}

/** What is done from here on belongs to this round of the loop: there is no second turn in it. */
export function holdRound() {
  if (held || !RING) return
  held = true
  NOBODY.runInAsyncScope(setImmediate, undefined, nextRound)
}

function nextRound() {
  held = false
  reading = false
  const turn = wanted ?? (rest && instead)
  wanted = undefined
  rest = undefined
  turn?.()
}

/**
 * Whether a reader may be given what is there already. What he does with it, again and again, would hold the loop:
 * readers have a turn's time in one round of it, that of the turn if there was one.
 */
export function mayRead() {
  // Without our own timers nothing would hold the process until he is given it.
  if (!RING) return true
  if (!reading) return beginReading()
  if (--unseen > 0) return true
  // Readers who ask side by side have not done anything yet: the clock would say nothing of them.
  if (!haveRun || isOver()) return false
  letRun()
  return true
}

function beginReading() {
  if (!held) {
    holdRound()
    if (performance.now() >= until) beginTurn()
  }
  reading = true
  letRun()
  seen = performance.now()
  lookSoon()
  return seen < until
}

function letRun() {
  haveRun = false
  RESOLVED.then(runs)
}

function runs() {
  haveRun = true
}

function areReal() {
  const [timer, immediate] = [setTimeout(() => {}, 1), setImmediate(() => {})]
  clearTimeout(timer)
  clearImmediate(immediate)
  // What Node's own have; a fake in their place need not be an object.
  return '_idleTimeout' in Object(timer) && '_onImmediate' in Object(immediate)
}
