/** The contract between a call and its starter: the consumer of its records, and the handle that controls it. */
import { getMaxListeners, setMaxListeners } from 'node:events'
import { addon } from './native'
import { bare } from './own'
import { soon } from './timers'

/** The form in which a call delivers its answer. `NOTHING` delivers no deltas. */
export const TEXT = 0
export const CHUNKS = 1
export const NOTHING = 2

/** The flags of `NativeClient.start`. `src/binding/client.rs` has the same numbers. */
// biome-ignore lint/suspicious/noConstEnum: every call adds them up, so they are inlined.
export const enum StartFlag {
  WholeAnswer = 1,
  Events = 2,
  CustomIsFailure = 4,
  Coalesce = 8,
  OnlyOutcome = 16,
}

/**
 * Receives the records of a call. An error thrown by `delta`, or the rejection of its promise, ends the call. Each member is
 * a property of the object itself, if only an undefined one, so that none is read from a polluted `Object.prototype`.
 */
export interface Consumer {
  delta: ((text: string) => unknown) | undefined
  /** All deltas have arrived. `text` is the complete answer if the mode was `NOTHING`. */
  complete: ((text: string) => void) | undefined
  end(json: string): void
  /** `canceled`: the caller has ended the call and wants no more deltas. */
  error(error: unknown, canceled: boolean): void
  event: ((json: string) => void) | undefined
  /** All deltas so far are void: the answer starts over. */
  restart: (() => void) | undefined
  /** Whether an error counts as a failure for a breaker. */
  isFailure: ((error: Error) => boolean) | undefined
  /** A turn that `requestTurn` has requested. */
  turn: (() => void) | undefined
  /** Whether the snapshot may be taken after the call has ended. */
  takesSnapshots: boolean
  /** Whether `end` reads its JSON, which is empty otherwise. */
  readsResult: boolean
}

/** The members of a consumer that is told nothing but the end. */
export const ONLY_END: Omit<Consumer, 'end' | 'error'> = {
  delta: undefined,
  complete: undefined,
  event: undefined,
  restart: undefined,
  isFailure: undefined,
  turn: undefined,
  takesSnapshots: false,
  readsResult: true,
}

export interface CallHandle {
  /** Begins the call in a mode: `TEXT`, `CHUNKS` or `NOTHING`. */
  begin(mode: number): void
  /** Ends the call. The consumer gets `reason` as its error at once. */
  cancel(reason: unknown): void
  /** Stops reading the socket. A paused call does not keep the process alive, and ends after `maxPausedMs`. */
  pause(): void
  resume(): void
  /** The consumer has taken a delta, so the time that the call may be paused begins again. */
  took(): void
  /** Has the consumer's `turn` called in a turn of the dispatcher. */
  requestTurn(): void
  /** The snapshot of the call, as JSON. */
  snapshot(): string
  /** How many attempts have begun. */
  attempts(): number
}

/** The snapshot of a call that Rust does not know: it was rejected, or ended before anything arrived. */
export const emptySnapshot = () =>
  JSON.stringify({
    version: 1,
    sessionId: addon.sessionId(),
    answer: { text: '', deltas: 0 },
    attempts: [],
    recoveries: 0,
    segments: [],
    joins: [],
  })

const noop = () => {}

/** The handle of a call that has never started. */
export const UNSTARTED: CallHandle = {
  begin: noop,
  cancel: noop,
  pause: noop,
  resume: noop,
  took: noop,
  requestTurn: noop,
  snapshot: emptySnapshot,
  attempts: () => 0,
}

/** The handle of a call that was aborted before it started. */
export function abortedCall(consumer: Consumer, reason: unknown): CallHandle {
  soon(() => consumer.error(reason, true))
  return UNSTARTED
}

/** Adds an abort listener to the signal, and returns a consumer that removes it when the call ends. */
export function withAbortListener(consumer: Consumer, signal: AbortSignal, abort: () => void): Consumer {
  countListener(signal)
  signal.addEventListener('abort', abort, bare({ once: true }))
  const stop = () => {
    signal.removeEventListener('abort', abort)
    uncountListener(signal)
  }
  return {
    ...consumer,
    end(json) {
      stop()
      consumer.end(json)
    },
    error(error, canceled) {
      stop()
      consumer.error(error, canceled)
    },
  }
}

/** For a signal of ours that each of many calls adds a listener to. That of jsdom is none of Node's, and has no limit. */
export function allowAnyListeners(signal: AbortSignal) {
  if (signal instanceof EventTarget && limitOf(signal) > 0) setMaxListeners(0, signal)
}

/** How many listeners of ours a signal has, and by how many we have raised its limit. */
const listeners = new WeakMap<AbortSignal, { count: number; raisedBy: number }>()

/**
 * Many calls may share a signal. Our listeners are all removed in time, so Node's warning of a leak must not count them.
 * The limit is raised rarely and never lowered, because on Node 20 each change repeats the warning about the caller's own
 * listeners.
 */
function countListener(signal: AbortSignal) {
  const ours = listeners.get(signal) ?? { count: 0, raisedBy: 0 }
  listeners.set(signal, ours)
  if (++ours.count <= ours.raisedBy) return
  const more = Math.max(16, ours.raisedBy)
  ours.raisedBy += more
  const limit = limitOf(signal)
  // 0 means no limit.
  if (limit > 0) setMaxListeners(limit + more, signal)
}

function uncountListener(signal: AbortSignal) {
  const ours = listeners.get(signal)
  if (ours) ours.count--
}

function limitOf(signal: AbortSignal): number {
  try {
    return getMaxListeners(signal)
  } catch {
    // Not a signal of Node's, or one from `AbortSignal.any`, whose limit of 0 Node 20 mistakes for a missing one.
    return 0
  }
}
