/** Reads a client's constructor arguments: everything that stays in JavaScript. */
import type { CircuitBreakerOptions, ClientOptions, RecoveryOptions } from '../../index'
import { breakerOf, type CircuitBreaker } from './breaker'
import { invalid } from './errors'
import type { addon } from './native'
import type { proxyEnvironment } from './network'
import { callback, optionsObject, type WithInternalOptions } from './options'
import { bare } from './own'

/** The key of the limiter that a subclass of the client has created, among the client's options. */
export const LIMITER = Symbol('limiter')
type Limiter = InstanceType<typeof addon.NativeLimiter>

export type Options = ClientOptions &
  WithInternalOptions & {
    retry?: Record<string, unknown>
    [LIMITER]?: Limiter
    $proxy?: ReturnType<typeof proxyEnvironment>
  }

/** Reads `(apiKey, maxRetries)`, `(apiKey, options)` or `(options)`. */
export function readArguments(apiKey: unknown, options: unknown): Options {
  if (typeof apiKey === 'object' && apiKey !== null) {
    if (options !== undefined) throw invalid('options', options, 'no argument after an options object')
    return optionsObject('options', apiKey) as Options
  }
  if (apiKey !== undefined && typeof apiKey !== 'string') {
    throw invalid('apiKey', undefined, 'a string', apiKey === null ? 'null' : `a ${typeof apiKey}`)
  }
  const rest =
    typeof options === 'object' || options === undefined ? optionsObject('options', options) : { maxRetries: options }
  return bare({ ...rest, ...(apiKey !== undefined && { apiKey }) }) as Options
}

/** The callbacks of a client's breakers. */
export type BreakerCallbacks = Pick<CircuitBreakerOptions, 'isFailure' | 'onStateChange'>

/** Splits the `circuitBreaker` option into the part for Rust and the callbacks, or returns the breaker to share. */
export function readBreaker(
  option: unknown,
): [ClientOptions['circuitBreaker'], BreakerCallbacks, shared?: CircuitBreaker] {
  const breaker = breakerOf('circuitBreaker', option)
  // The breaker itself, not its callbacks, because `onStateChange` may be set later.
  if (breaker) return [undefined, breaker, breaker]
  if (typeof option !== 'object' || option === null) return [option as ClientOptions['circuitBreaker'], bare({})]
  const { isFailure, onStateChange, ...options } = option as CircuitBreakerOptions
  return [
    bare(options),
    { isFailure: callback('isFailure', isFailure), onStateChange: callback('onStateChange', onStateChange) },
  ]
}

/** Separates `recovery.onRestart` from the options that go to Rust. */
export function splitRecovery<T extends { recovery?: unknown }>(options: T): { onRestart?: () => void; rest: T } {
  const { recovery } = options
  if (typeof recovery !== 'object' || recovery === null) return { onRestart: undefined, rest: options }
  const { onRestart, ...others } = recovery as RecoveryOptions
  return { onRestart: callback('recovery.onRestart', onRestart), rest: bare({ ...options, recovery: bare(others) }) }
}
