/** `CircuitBreaker`: a thin wrapper around the state machine in Rust. */
import type { CircuitBreakerOptions, CircuitState } from '../../index'
import { BRAND, type Brand, brandOf } from './copies'
import { invalid, native, otherVersion } from './errors'
import { addon, copy, isOurs } from './native'
import { callback, encode, notify, optionsObject } from './options'
import { bare } from './own'

type Change = { from: CircuitState; to: CircuitState }

const KIND = 'a CircuitBreaker'

const SUCCESS = 0
const FAILURE = 1
const IGNORED = 2

type NativeBreaker = InstanceType<typeof addon.NativeBreaker>

/** The breaker's Rust object, for a client that shares the breaker. */
export function nativeBreaker(breaker: CircuitBreaker): NativeBreaker {
  return breaker[BRAND].native as NativeBreaker
}

/** A value as a breaker, of this copy or of one that shares the addon; undefined if it is none. */
export function breakerOf(name: string, value: unknown): CircuitBreaker | undefined {
  const brand = brandOf(value)
  if (brand?.kind !== KIND) return undefined
  if (!isOurs(brand)) throw otherVersion(name, brand)
  return value as CircuitBreaker
}

export class CircuitBreaker {
  readonly #native: InstanceType<typeof addon.NativeBreaker>
  readonly #isFailure: ((error: unknown) => boolean) | undefined
  #onStateChange: ((change: Change) => void) | undefined

  constructor(failureThreshold?: number | CircuitBreakerOptions, timeout?: number) {
    const merged =
      typeof failureThreshold === 'object' && failureThreshold !== null
        ? optionsObject('options', failureThreshold)
        : bare({ failureThreshold, timeout })
    const { isFailure, onStateChange, ...options } = merged as CircuitBreakerOptions
    this.#isFailure = callback('isFailure', isFailure)
    this.#onStateChange = callback('onStateChange', onStateChange)
    this.#native = native(() => new addon.NativeBreaker(encode(options)))
  }

  get [BRAND](): Brand {
    return { kind: KIND, copy, native: this.#native }
  }

  get isFailure() {
    return this.#isFailure
  }

  get onStateChange() {
    return this.#onStateChange
  }
  set onStateChange(listener: ((change: Change) => void) | undefined) {
    this.#onStateChange = callback('onStateChange', listener)
  }

  get failureThreshold() {
    return this.#native.failureThreshold
  }
  set failureThreshold(value: number) {
    this.#set('failureThreshold', value)
  }
  get timeout() {
    return this.#native.timeout
  }
  set timeout(value: number) {
    this.#set('timeout', value)
  }
  get halfOpenMaxCalls() {
    return this.#native.halfOpenMaxCalls
  }
  set halfOpenMaxCalls(value: number) {
    this.#set('halfOpenMaxCalls', value)
  }
  get successThreshold() {
    return this.#native.successThreshold
  }
  set successThreshold(value: number) {
    this.#set('successThreshold', value)
  }

  get failures() {
    return this.#native.failures
  }
  set failures(value: number) {
    if (!Number.isInteger(value) || value < 0) throw invalid('failures', value, 'a whole number from 0')
    this.#native.failures = value
  }
  get lastFailureTime(): number | null {
    return this.#native.lastFailureTime ?? null
  }
  set lastFailureTime(value: number | null) {
    if (value !== null && !Number.isFinite(value)) throw invalid('lastFailureTime', value, 'epoch milliseconds or null')
    this.#native.lastFailureTime = value
  }
  get state() {
    return this.#native.state as CircuitState
  }
  set state(value: CircuitState) {
    this.#change(() =>
      native(() => {
        this.#native.state = String(value)
      }),
    )
  }

  canExecute(): boolean {
    return this.#change(() => this.#native.canExecute())
  }
  recordSuccess(): void {
    this.#change(() => this.#native.recordSuccess())
  }
  recordFailure(): void {
    this.#change(() => this.#native.recordFailure())
  }
  getHealthScore(): number {
    return this.#native.healthScore()
  }
  open(): void {
    this.#change(() => this.#native.open())
  }
  close(): void {
    this.#change(() => this.#native.close())
  }
  reset(): void {
    this.#change(() => this.#native.reset())
  }

  async execute<T>(fn: () => T | PromiseLike<T>): Promise<T> {
    if (typeof fn !== 'function') throw invalid('fn', fn, 'a function')
    const permit = this.#change(() => native(() => this.#native.acquire()))
    let outcome = IGNORED
    try {
      const value = await fn()
      outcome = SUCCESS
      return value
    } catch (error) {
      // If `isFailure` throws, the outcome stays `IGNORED` and the permit is returned.
      outcome = (this.#isFailure?.(error) ?? true) ? FAILURE : IGNORED
      throw error
    } finally {
      this.#change(() => this.#native.report(permit, outcome))
    }
  }

  #set(name: string, value: unknown) {
    native(() => this.#native.setOption(name, encode(value)))
  }

  /** Runs an action, and notifies the listener if it has changed the state. */
  #change<T>(action: () => T): T {
    const from = this.state
    const result = action()
    const to = this.state
    if (to !== from) notify('onStateChange', this.#onStateChange, { from, to })
    return result
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `CircuitBreaker { state: '${this.state}', failures: ${this.failures} }`
  }
}
