/**
 * The timers and clocks of this package: real ones, whatever a test has faked and whenever it did. No other file uses
 * the globals, because they are looked up at each use. `sleep.ts` has the waits that fake timers are meant to control.
 */
import { performance } from 'node:perf_hooks'
import * as timers from 'node:timers'
import { addon } from './native'

/**
 * False if Node's timers had been replaced before this package was loaded. (Sinon and `node:test` replace those of
 * `node:timers` too, Jest and Vitest only the globals.) Then Rust keeps the time.
 */
export const HAS_REAL_TIMERS = areReal()

const real = HAS_REAL_TIMERS ? (timers as unknown as Timers) : nativeTimers()
export const { setTimeout, clearTimeout, setInterval, clearInterval } = real
/** Only if `HAS_REAL_TIMERS`. */
export const { setImmediate } = timers
/** May be a fake one that never runs its callback: Node has no other source of it. */
export const { nextTick } = process

/** Monotonic milliseconds. Of the prototype, because Sinon replaces the method of the object. */
export const now: () => number = (Object.getPrototypeOf(performance).now ?? performance.now).bind(performance)

const RESOLVED = Promise.resolve()
/** Runs a function after the current one has returned. Unlike `queueMicrotask`, promises have no fake. */
export function soon(run: () => void): void {
  RESOLVED.then(run)
}

/** The part of Node's timers that this package uses. */
interface Timers {
  setTimeout(run: () => void, ms: number): Timer
  clearTimeout(timer: Timer | undefined): void
  setInterval(run: () => void, ms: number): Timer
  clearInterval(timer: Timer | undefined): void
}

export interface Timer {
  /** No longer keeps the process alive. */
  unref(): this
  /** Starts over. */
  refresh(): this
}

class NativeTimeout implements Timer {
  #timer: InstanceType<typeof addon.NativeTimer> | undefined
  #isRef = true

  constructor(
    private readonly run: () => void,
    private readonly ms: number,
    private readonly repeats: boolean,
  ) {
    this.refresh()
  }

  refresh(): this {
    this.stop()
    const timer = new addon.NativeTimer(() => {
      // It may have fired before it was stopped.
      if (this.#timer !== timer) return
      this.#timer = undefined
      if (this.repeats) this.refresh()
      this.run()
    }, this.ms)
    if (!this.#isRef) timer.unref()
    this.#timer = timer
    return this
  }

  unref(): this {
    this.#isRef = false
    this.#timer?.unref()
    return this
  }

  stop() {
    this.#timer?.stop()
    this.#timer = undefined
  }
}

function nativeTimers(): Timers {
  const clear = (timer: Timer | undefined) => (timer as NativeTimeout | undefined)?.stop()
  return {
    setTimeout: (run, ms) => new NativeTimeout(run, ms, false),
    clearTimeout: clear,
    setInterval: (run, ms) => new NativeTimeout(run, ms, true),
    clearInterval: clear,
  }
}

function areReal(): boolean {
  const [timer, immediate] = [timers.setTimeout(() => {}, 1), timers.setImmediate(() => {})]
  timers.clearTimeout(timer)
  timers.clearImmediate(immediate)
  // These fields identify Node's handles. A fake may return a plain number.
  return '_idleTimeout' in Object(timer) && '_onImmediate' in Object(immediate)
}
