/**
 * The waits that are the purpose of a helper: `client.sleep`, `retryWithBackoff`, `streamWithTimeout` and the like. They use the global
 * timers of the moment, so that a test's fake timers control them. Every other wait is real (`timers.ts`).
 */
import { invalid } from './errors'
import { bare } from './own'
import { clearTimeout, setTimeout } from './timers'

/** The maximum of one timer. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Resolves after `ms`. An abort rejects with the signal's reason. */
export type Wait = (ms: number, signal?: AbortSignal) => Promise<void>

/** A wait in real time. */
export const realWait: Wait = waitWith(() => ({ setTimeout, clearTimeout }))
/** A wait that fake timers control. */
export const fakeableWait: Wait = waitWith(callersTimers)

/** A wait that fake timers control, for as long as it takes. */
export async function sleep(ms: number): Promise<void> {
  if (typeof ms !== 'number' || !(ms >= 0)) throw invalid('ms', ms, 'milliseconds from 0')
  for (let left = ms; left > 0 || left === ms; left -= MAX_TIMER_MS) await fakeableWait(left)
}

interface Timers {
  setTimeout(run: () => void, ms: number): { unref?(): void }
  clearTimeout(timer: any): void
}

/** The global timers as they are now. */
export function callersTimers(): Timers {
  return globalThis as unknown as Timers
}

/** `timers` is called at each wait. A wait takes no longer than one timer can. */
function waitWith(timers: () => Timers): Wait {
  return (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const source = timers()
      const timer = source.setTimeout(
        () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
        Math.min(ms, MAX_TIMER_MS),
      )
      const abort = () => {
        source.clearTimeout(timer)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', abort, bare({ once: true }))
    })
}
