/**
 * The time that a turn of the dispatcher has, and whose time counts: the work of callbacks, and that of readers who
 * were given what they awaited. These run when the turn's own code is through, so a turn that has woken some of
 * them goes on only when they have run, and looks at the clock then.
 */
import { performance } from 'node:perf_hooks'
import * as timers from 'node:timers'

// Held on to: whoever fakes timers in a test does not mean ours.
const { clearImmediate, clearTimeout } = timers
const { nextTick } = process
export const { setImmediate, setTimeout } = timers
/** Whether they are Node's: who loads this while timers are faked has none that ring, and is woken for everything. */
export const RING = areReal()

/** How long one turn may take, in milliseconds. */
const TURN_MS = 4
/**
 * How many records are handled between two looks at the clock, and how many where the last ones took no
 * time worth speaking of: a look costs as much as a record.
 */
const STRIDE = 8
const LONG_STRIDE = 32
const QUICK_MS = 0.05
const RESOLVED = Promise.resolve()

/** When this turn has to end; when the clock was last looked at, and after how many records it is again. */
let until = 0
let seen = 0
let unseen = 0
/** Readers were given what they awaited, and have not run yet. */
let woken = false
/** In this round of the loop somebody has read what was there already. */
let reads = false

export function beginTurn() {
  woken = false
  seen = performance.now()
  until = seen + TURN_MS
  unseen = STRIDE
}

/** Told by whoever resolves a promise in a turn. */
export function woke() {
  woken = true
}

/** A record may not be handled now: the turn's time is over, or those who were woken come first. */
export function isLate() {
  return --unseen <= 0 && (woken || isOver())
}

function isOver() {
  const now = performance.now()
  const over = now >= until
  // Once it is over it is over for everybody.
  unseen = over ? 0 : now - seen < QUICK_MS ? LONG_STRIDE : STRIDE
  seen = now
  return over
}

/** Goes on with a turn that did not get through: at once when those who were woken have run, or in another turn. */
export function goOn(more: () => void, another: () => void) {
  if (!woken) return another()
  const after = () => {
    woken = false
    if (isOver()) another()
    else more()
  }
  // A tick that is asked for by a promise comes when no promise has anything left to do.
  RESOLVED.then(RING ? () => nextTick(after) : after)
}

/**
 * Whether a reader may be given what is there already. What he does with it, again and again, would hold the loop:
 * in one round of the loop readers have a turn's time too.
 */
export function mayRead() {
  if (!reads && RING) {
    reads = true
    setImmediate(newRound)
    if (performance.now() >= until) beginTurn()
  }
  return --unseen > 0 || !isOver()
}

function newRound() {
  reads = false
}

function areReal() {
  const [timer, immediate] = [setTimeout(() => {}, 1), setImmediate(() => {})]
  clearTimeout(timer)
  clearImmediate(immediate)
  // What Node's own have; a fake in their place need not be an object.
  return '_idleTimeout' in Object(timer) && '_onImmediate' in Object(immediate)
}
