/** The test clock of `holysheep/simulator`: time that a test advances. */
import type { TestClockOptions } from '../../simulator'
import { copies } from './copies'
import { native } from './errors'
import { callsInFlight } from './hub'
import { addon } from './native'
import { checkKnownOptions, numberIn, optionsObject, wholeMs } from './options'
import { realWait } from './sleep'

/** How long nothing may happen before the calls in flight count as settled, in milliseconds. */
const SETTLE_MS = 250
/** The same if every call waits for time alone. Records from Rust still have to arrive in JavaScript. */
const DELIVERY_MS = 5

/** Less than any wait, and more than the rounding error of sums of times. */
const ROUNDING_MS = 1e-6

let create: (options: TestClockOptions) => TestClock
let installed: TestClock | undefined

export class TestClock {
  readonly #native: InstanceType<typeof addon.NativeClock>
  readonly #settleMs: number
  readonly #startedAt = addon.epochMs()
  #lastMove: Promise<unknown> = Promise.resolve()

  static {
    create = (options) => new TestClock(options)
  }

  private constructor({ settleMs = SETTLE_MS }: TestClockOptions) {
    this.#settleMs = wholeMs('settleMs', settleMs)
    this.#native = native(() => new addon.NativeClock())
  }

  get elapsedMs(): number {
    return this.#native.elapsedMs
  }

  get now(): number {
    return this.#startedAt + this.elapsedMs
  }

  advance(ms: number): Promise<void> {
    numberIn('ms', ms, 0)
    return this.#serialize(async () => {
      const until = this.elapsedMs + ms
      for (;;) {
        await this.#settle()
        const next = this.#native.untilNextMs
        if (typeof next !== 'number' || this.elapsedMs + next > until + ROUNDING_MS) break
        this.#native.advanceToNext()
      }
      this.#native.advanceTo(until)
      await this.#settle()
    })
  }

  async runUntil<T>(promise: PromiseLike<T>): Promise<T> {
    let settled = false
    const end = () => {
      settled = true
    }
    promise.then(end, end)
    await this.#serialize(async () => {
      while (!settled) {
        await this.#settle(() => settled)
        if (!settled && typeof this.#native.untilNextMs === 'number') this.#native.advanceToNext()
      }
    })
    return promise
  }

  restore(): void {
    this.#native.release()
    if (installed === this) installed = undefined
  }

  [Symbol.dispose](): void {
    this.restore()
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `TestClock { elapsedMs: ${this.elapsedMs} }`
  }

  /** Serializes moves: each of two concurrent moves would skip timers that the other waits for. */
  #serialize(move: () => Promise<void>): Promise<void> {
    const moved = this.#lastMove.then(move)
    this.#lastMove = moved.catch(() => {})
    return moved
  }

  /** Resolves when nothing more happens unless time advances. */
  async #settle(isDone: () => boolean = () => false): Promise<void> {
    let quiet = 0
    for (let turns = 0; !isDone(); turns++) {
      await realWait(1)
      const { calls, resting, quietMs } = this.#native.activity
      if (quietMs < quiet) turns = 0
      quiet = quietMs
      // If every call waits for time alone, that is certain. A socket of another process can only be observed to be
      // silent.
      const isCertain = calls === resting && calls === callsInFlight()
      const enough = isCertain ? Math.min(DELIVERY_MS, this.#settleMs) : this.#settleMs
      if (quietMs < enough || turns < enough / 3) continue
      // On a busy machine silence alone proves nothing; a runtime without tasks and unread sockets does.
      if (this.#native.isIdle()) return
      turns = 0
    }
  }
}

export function testClock(options?: TestClockOptions): TestClock {
  const checked = optionsObject('options', options) as TestClockOptions
  checkKnownOptions(checked, ['settleMs'])
  installed?.restore()
  installed = create(checked)
  const others = copies().filter((other) => other.addon !== addon)
  if (others.length > 0) {
    const list = others.map(({ version, path }) => `version ${version} in ${path}`).join(', ')
    const message = `testClock does not affect the other copies of holysheep in this process: ${list}`
    process.emitWarning(message, { type: 'HolySheepWarning' })
  }
  return installed
}
