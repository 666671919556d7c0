/** Encodes options and requests for Rust, which validates them, and checks the options that only JavaScript reads. */
import type { ClientEvent } from '../../index'
import { brandOf } from './copies'
import { describe, invalid, unknownOption } from './errors'
import { internalSymbol } from './native'
import { bare, ownOptions, stringify } from './own'

/** The key of a call's internal event listener. For the wrappers. A symbol is never encoded as JSON. */
export const EVENTS: unique symbol = internalSymbol('events') as never
export interface WithEventListener {
  [EVENTS]?: (event: ClientEvent) => void
}

/** The key of options that only this package sets. */
export const INTERNAL: unique symbol = internalSymbol('internal') as never
/** `InternalOptions` in `src/binding/client.rs` has the same fields. */
export interface InternalOptions {
  /** Per call: make exactly one attempt. */
  singleAttempt?: boolean
  /** Per call: which attempts follow, and when, is the tutorial's. */
  mirrored?: boolean
  /** Per call: the maximum number of attempts in total. */
  maxAttempts?: number
  /** Per call: the tokens of the prompt by model, as the caller's `countTokens` counts them. */
  promptTokens?: Record<string, number>
  /** Per call: headers and query that go to the first endpoint only. */
  firstEndpoint?: { headers: Record<string, string>; query: string }
  /** Options that a wrapper reads itself: errors about unknown options name them as accepted. */
  alsoAccepted?: string[]
}
export interface WithInternalOptions {
  [INTERNAL]?: InternalOptions
}

/**
 * Encodes options as JSON. A value that JSON cannot represent (`NaN`, a function, a big integer) becomes
 * `{"$unencodable": "NaN"}`, so that Rust can name it in a validation error.
 */
export function encode(options: unknown): string {
  if (options === NO_OPTIONS) return '{}'
  try {
    return stringify(options, replaceUnrepresentable) ?? 'null'
  } catch (error) {
    throw unencodable('options', error)
  }
}

function replaceUnrepresentable(_key: string, value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : { $unencodable: String(value) }
    case 'bigint':
    case 'function':
    case 'symbol':
      return { $unencodable: describe(value) }
    case 'object':
      // JSON would make an empty object of these, and of a `Map` or `Headers` below.
      if (brandOf(value)) return { $unencodable: brandOf(value)?.kind }
      return value !== null && !Array.isArray(value) && Symbol.iterator in value
        ? { $unencodable: `a ${value.constructor?.name ?? 'collection'}` }
        : value
    default:
      return value
  }
}

function unencodable(name: string, error: unknown): TypeError {
  const reason = error instanceof Error ? (error.message.split('\n')[0] as string) : String(error)
  const invalidValue = new TypeError(`${name}: cannot be encoded as JSON (${reason})`, { cause: error })
  return Object.assign(invalidValue, { code: 'INVALID_ARGUMENT' })
}

/** Request fields by the camelCase spelling that they are easily confused with. */
const MISSPELLED_FIELDS = new Map(
  [
    'max_tokens',
    'max_completion_tokens',
    'top_p',
    'top_logprobs',
    'tool_choice',
    'parallel_tool_calls',
    'response_format',
    'stream_options',
    'presence_penalty',
    'frequency_penalty',
    'logit_bias',
    'reasoning_effort',
  ].map((name) => [name.replace(/_./g, ([, letter]) => (letter as string).toUpperCase()), name]),
)

/** Warns about a camelCase request field, once per process. The field is sent like any other. */
function warnAboutMisspelledFields(request: object) {
  if (MISSPELLED_FIELDS.size === 0) return
  for (const name of Object.keys(request)) {
    const fieldName = MISSPELLED_FIELDS.get(name)
    if (fieldName === undefined) continue
    MISSPELLED_FIELDS.delete(name)
    const message = `request.${name} is sent unchanged, and most providers ignore it; did you mean ${fieldName}?`
    process.emitWarning(message, { type: 'HolySheepWarning' })
  }
}

/** Encodes a request as JSON. The error names a cycle or a big integer. */
export function encodeRequest(request: unknown): string {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw invalid('request', request, 'an object with `messages`')
  }
  warnAboutMisspelledFields(request)
  try {
    return stringify(request) as string
  } catch (error) {
    throw unencodable('request', error)
  }
}

/**
 * Checks that a value is an options object, and returns a copy of what it has itself (see `ownOptions`); an empty object if
 * there is none.
 */
export function optionsObject(name: string, value: unknown): Record<string, unknown> {
  if (value === undefined || value === null) return bare({})
  if (typeof value === 'string') {
    // Probably an API key in the wrong position, so the message does not show it.
    throw invalid(name, undefined, 'an object', 'a string')
  }
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(name, value, 'an object')
  return ownOptions(value)
}

/** Throws if an option is not one of `known`. */
export function checkKnownOptions(options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) if (!known.includes(name)) throw unknownOption(name, known.join(', '))
}

/** Checks a string that must not be empty. */
export function nonEmpty(name: string, value: unknown, accepted: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(name, value, accepted)
  return value
}

/** Checks a number within bounds. */
export function numberIn(name: string, value: unknown, from: number, to = Number.MAX_VALUE): number {
  if (typeof value === 'number' && value >= from && value <= to) return value
  throw invalid(name, value, to >= Number.MAX_VALUE ? `a number from ${from}` : `a number from ${from} to ${to}`)
}

/** Checks that a value is one of a set of strings. */
export function oneOf<T extends string>(name: string, value: unknown, words: readonly T[]): T {
  if (!words.includes(value as T)) throw invalid(name, value, words.map((word) => `'${word}'`).join(', '))
  return value as T
}

/** The maximum of a duration option, seven days, as in Rust. */
const MAX_MS = 604_800_000

/** Checks an integer. */
export function wholeNumber(name: string, value: unknown, from: number): number {
  if (!Number.isInteger(value) || (value as number) < from) throw invalid(name, value, `a whole number from ${from}`)
  return value as number
}

/**
 * The maximum number of attempts: `maxAttempts`, or `maxRetries` of the wrappers whose tutorial counts the first attempt
 * as a retry.
 */
export function attemptsOf(options: { maxAttempts?: unknown; maxRetries?: unknown }, byDefault: number): number {
  const { maxAttempts, maxRetries } = options
  if (maxAttempts === undefined) return wholeNumber('maxRetries', maxRetries ?? byDefault, 1)
  if (maxRetries !== undefined)
    throw invalid(
      'maxAttempts',
      undefined,
      'only one of the two',
      'a value in addition to `maxRetries`, which means the same here',
    )
  return wholeNumber('maxAttempts', maxAttempts, 1)
}

/** Checks a duration in milliseconds. */
export function wholeMs(name: string, value: unknown, from = 0): number {
  if (!Number.isInteger(value) || (value as number) < from || (value as number) > MAX_MS)
    throw invalid(name, value, `whole milliseconds from ${from} to ${MAX_MS}`)
  return value as number
}

/** Checks an optional callback. */
export function callback<T>(name: string, value: T | null | undefined): T | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'function') throw invalid(name, value, 'a function')
  return value
}

/** Calls an observer. If it throws or rejects, that is a process warning and does not affect the call. */
export function notify<T>(name: string, observer: ((value: T) => unknown) | undefined, value: T) {
  const warn = (error: unknown) => process.emitWarning(`${name} failed: ${error}`, { type: 'HolySheepWarning' })
  try {
    const returned = observer?.(value) as PromiseLike<unknown> | undefined
    if (typeof returned?.then === 'function') returned.then(undefined, warn)
  } catch (error) {
    warn(error)
  }
}

/** The options of a call that has none. */
const NO_OPTIONS: Record<string, unknown> = Object.freeze(bare({}))

/** Separates the signal from the other options of a call, and checks it. */
export function splitSignal(options: unknown): { signal: AbortSignal | undefined; rest: Record<string, unknown> } {
  if (options === undefined || options === null) return { signal: undefined, rest: NO_OPTIONS }
  // It is a copy.
  const rest = optionsObject('options', options)
  const { signal } = rest
  delete rest.signal
  if (signal === undefined || signal === null) return { signal: undefined, rest }
  if (typeof (signal as AbortSignal).addEventListener !== 'function' || !('aborted' in (signal as object))) {
    throw invalid('signal', signal, 'an AbortSignal')
  }
  return { signal: signal as AbortSignal, rest }
}
