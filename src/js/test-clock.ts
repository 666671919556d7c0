/** The test clock of `holysheep/simulator`: time that goes on when a test says so. */
import type { TestClockOptions } from '../../simulator'
import { native } from './errors'
import { underWay } from './hub'
import { addon } from './native'
import { numberIn, onlyThese, optionsObject, wholeMs } from './options'

// Taken before a test can put fakes in their place.
const { setTimeout } = globalThis

/** How long nothing must have happened before what is under way counts as at rest, in milliseconds. */
const SETTLE_MS = 250
/** The same where every call waits for time and nothing else: what Rust has told has to arrive here. */
const HANDOVER_MS = 5

/** Less than any wait, and more than what two sums of the same times differ by. */
const ROUNDING_MS = 1e-6

let create: (options: TestClockOptions) => TestClock
let installed: TestClock | undefined

export class TestClock {
  readonly #native: InstanceType<typeof addon.NativeClock>
  readonly #settleMs: number
  readonly #startedAt = Date.now()
  #busy: Promise<unknown> = Promise.resolve()

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
    return this.#inTurn(async () => {
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
    let over = false
    const end = () => {
      over = true
    }
    promise.then(end, end)
    await this.#inTurn(async () => {
      while (!over) {
        await this.#settle(() => over)
        if (!over && typeof this.#native.untilNextMs === 'number') this.#native.advanceToNext()
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

  /** One after the other: two who move the clock at once would each jump over what the other waits for. */
  #inTurn(move: () => Promise<void>): Promise<void> {
    const moved = this.#busy.then(move)
    this.#busy = moved.catch(() => {})
    return moved
  }

  /** Resolves when nothing happens any more unless time goes on. */
  async #settle(over: () => boolean = () => false): Promise<void> {
    let quiet = 0
    for (let turns = 0; !over(); turns++) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      const { calls, resting, quietMs } = this.#native.activity
      if (quietMs < quiet) turns = 0
      quiet = quietMs
      // Where every call waits for time alone, that is certain; of a socket only its silence can be judged, and by turns
      // of this thread too, because on a busy machine others come to theirs as late.
      const isCertain = calls === resting && calls === underWay()
      const enough = isCertain ? Math.min(HANDOVER_MS, this.#settleMs) : this.#settleMs
      if (quietMs >= enough && turns >= enough / 3) return
    }
  }
}

export function testClock(options?: TestClockOptions): TestClock {
  const given = optionsObject('options', options) as TestClockOptions
  onlyThese(given, ['settleMs'])
  installed?.restore()
  installed = create(given)
  return installed
}
