/** What a client is constructed with, read as far as it concerns this side. */
import type { CircuitBreakerOptions, ClientOptions, RecoveryOptions } from '../../index'
import { CircuitBreaker } from './breaker'
import { invalid } from './errors'
import type { addon } from './native'
import type { proxyEnvironment } from './network'
import { callback, optionsObject, type WithInternalOptions } from './options'

/** Among the options of a client: its limiter, which its subclass has made. */
export const LIMITER = Symbol('limiter')
type Limiter = InstanceType<typeof addon.NativeLimiter>

export type Options = ClientOptions &
  WithInternalOptions & {
    retry?: Record<string, unknown>
    [LIMITER]?: Limiter
    $proxy?: ReturnType<typeof proxyEnvironment>
  }

/** `(apiKey, maxRetries)`, `(apiKey, options)` or `(options)`. */
export function readArguments(apiKey: unknown, options: unknown): Options {
  if (typeof apiKey === 'object' && apiKey !== null) {
    if (options !== undefined) throw invalid('options', options, 'nothing after an object of options')
    return optionsObject('options', apiKey) as Options
  }
  if (apiKey !== undefined && typeof apiKey !== 'string') {
    throw invalid('apiKey', undefined, 'a string', apiKey === null ? 'null' : `a ${typeof apiKey}`)
  }
  const rest =
    typeof options === 'object' || options === undefined ? optionsObject('options', options) : { maxRetries: options }
  return { ...rest, ...(apiKey !== undefined && { apiKey }) } as Options
}

/** What JavaScript has to say to the breakers of a client. */
export type BreakerObserver = Pick<CircuitBreakerOptions, 'isFailure' | 'onStateChange'>

/** The `circuitBreaker` option, as Rust takes it, and what stays on this side. */
export function readBreaker(given: unknown): [ClientOptions['circuitBreaker'], BreakerObserver] {
  // The breaker's own listener may be set later: it is looked up when it is needed.
  if (given instanceof CircuitBreaker) return [undefined, given]
  if (typeof given !== 'object' || given === null) return [given as ClientOptions['circuitBreaker'], {}]
  const { isFailure, onStateChange, ...options } = given as CircuitBreakerOptions
  return [
    options,
    { isFailure: callback('isFailure', isFailure), onStateChange: callback('onStateChange', onStateChange) },
  ]
}

/** Takes `recovery.onRestart` out of options: it stays on this side. */
export function splitRecovery<T extends { recovery?: unknown }>(options: T): { onRestart?: () => void; rest: T } {
  const { recovery } = options
  if (typeof recovery !== 'object' || recovery === null) return { rest: options }
  const { onRestart, ...others } = recovery as RecoveryOptions
  return { onRestart: callback('recovery.onRestart', onRestart), rest: { ...options, recovery: others } }
}
