/** One call as the faces see it: who is told of it, and what can be done with it. */
import { getMaxListeners, setMaxListeners } from 'node:events'
import { addon } from './native'

/** What a call is handed while its answer comes. */
export const TEXT = 0
export const CHUNKS = 1
export const NOTHING = 2

/** Who is told what comes. What `piece` throws, or its promise rejects with, ends the call. */
export interface Consumer {
  piece?(text: string): unknown
  /** Every piece has come; `text` is their sum where no pieces were wanted. */
  complete?(text: string): void
  end(json: string): void
  /** `cancelled`: the caller has ended it, and wants nothing more of it. */
  error(error: unknown, cancelled: boolean): void
  event?(json: string): void
  /** What came so far is void: the answer begins anew. */
  restart?(): void
  /** Whether an error counts as a failure for a breaker. */
  judge?(error: Error): boolean
  /** The turn that was asked for. */
  again?(): void
}

export interface CallHandle {
  /** Lets the call begin; `TEXT`, `CHUNKS` or `NOTHING`. */
  begin(mode: number): void
  /** Ends the call; the consumer is told `reason` at once. */
  cancel(reason: unknown): void
  pause(): void
  resume(): void
  /** Asks for `again` in a turn of its own. */
  again(): void
  /** What the call has come to, as JSON. */
  snapshot(): string
}

/** The snapshot of a call that Rust does not know: it was refused, or has ended, before anything came. */
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

/** The consumer, with an abort listener that lasts as long as the call. */
export function listening(consumer: Consumer, signal: AbortSignal, abort: () => void): Consumer {
  makeRoom(signal)
  signal.addEventListener('abort', abort, { once: true })
  const stop = () => {
    signal.removeEventListener('abort', abort)
    leave(signal)
  }
  return {
    ...consumer,
    end(json) {
      stop()
      consumer.end(json)
    },
    error(error, cancelled) {
      stop()
      consumer.error(error, cancelled)
    },
  }
}

/** How many of our listeners a signal has, and for how many its limit was raised. */
const listeners = new WeakMap<AbortSignal, { now: number; room: number }>()

/**
 * Many calls may share a signal: our listeners, which all go, do not count for Node's warning of a leak. Its limit is
 * raised seldom and never lowered: on Node 20 each change makes it warn anew of a caller's own listeners.
 */
function makeRoom(signal: AbortSignal) {
  const ours = listeners.get(signal) ?? { now: 0, room: 0 }
  listeners.set(signal, ours)
  if (++ours.now <= ours.room) return
  const more = Math.max(16, ours.room)
  ours.room += more
  const most = limitOf(signal)
  // 0 is without a limit.
  if (most > 0) setMaxListeners(most + more, signal)
}

function leave(signal: AbortSignal) {
  const ours = listeners.get(signal)
  if (ours) ours.now--
}

function limitOf(signal: AbortSignal): number {
  try {
    return getMaxListeners(signal)
  } catch {
    // Not one of Node's, or one of `AbortSignal.any`, whose limit of 0 Node 20 takes for none at all.
    return 0
  }
}
