/** Options and requests on their way to Rust, which validates them. */
import type { ClientEvent } from '../../index'
import { describe, invalid, unknown } from './errors'

/** Among the options of a call: who hears of its events. For the faces; a symbol is never encoded. */
export const EVENTS = Symbol('events')
export interface Heard {
  [EVENTS]?: (event: ClientEvent) => void
}

/** The key of options that only this package sets. A caller's options object cannot name it. */
export const INTERNAL = Symbol('internal')
/** `InternalOptions` in `src/binding/client.rs` has the same fields. */
export interface InternalOptions {
  /** Of a call: make exactly one attempt. */
  singleAttempt?: boolean
  /** Of a call: the most attempts in total. */
  maxAttempts?: number
  /** Of a call: the prompt's tokens by model, as the caller's own function counts them. */
  promptTokens?: Record<string, number>
  /** Of a call: what is sent to the first endpoint only. */
  firstEndpoint?: { headers: Record<string, string>; query: string }
  /** Options that a wrapper reads itself: errors about unknown options name them as accepted. */
  alsoAccepted?: string[]
}
export interface WithInternalOptions {
  [INTERNAL]?: InternalOptions
}

/** What is no object of options, though it is an object: how it is called in errors. */
const named = new WeakMap<object, string>()

/** Lets an object be refused by its name where options are expected. */
export function notOptions(object: object, name: string): void {
  named.set(object, name)
}

/**
 * Encodes options as JSON. What JSON cannot say (`NaN`, functions, big integers) becomes
 * `{"$unencodable": "NaN"}`, so that the error of the validation can say what was given.
 */
export function encode(options: unknown): string {
  try {
    return JSON.stringify(options, sayable) ?? 'null'
  } catch (error) {
    throw unencodable('options', error)
  }
}

function sayable(_key: string, value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : { $unencodable: String(value) }
    case 'bigint':
    case 'function':
    case 'symbol':
      return { $unencodable: describe(value) }
    case 'object':
      // It would be encoded as an object with nothing in it; so would a `Map` or `Headers`.
      if (value !== null && named.has(value)) return { $unencodable: named.get(value) }
      return value !== null && !Array.isArray(value) && Symbol.iterator in value
        ? { $unencodable: `a ${value.constructor?.name ?? 'collection'}` }
        : value
    default:
      return value
  }
}

function unencodable(name: string, error: unknown): TypeError {
  const why = error instanceof Error ? (error.message.split('\n')[0] as string) : String(error)
  const made = new TypeError(`${name}: cannot be encoded as JSON (${why})`, { cause: error })
  return Object.assign(made, { code: 'INVALID_ARGUMENT' })
}

/** Fields of a request that are easily written in the way of this package's options, and how they are named. */
const MISSPELT = new Map(
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

/** Warns of a field that no provider knows by this name, once a process. It is passed on like any other. */
function warnOfMisspelt(request: object) {
  if (MISSPELT.size === 0) return
  for (const name of Object.keys(request)) {
    const meant = MISSPELT.get(name)
    if (meant === undefined) continue
    MISSPELT.delete(name)
    const message = `request.${name} is passed on as it is, and most providers ignore it; did you mean ${meant}?`
    process.emitWarning(message, { type: 'HolySheepWarning' })
  }
}

/** Encodes a request. A cycle or a big integer is told as what it is. */
export function encodeRequest(request: unknown): string {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw invalid('request', request, 'an object with `messages`')
  }
  warnOfMisspelt(request)
  try {
    return JSON.stringify(request)
  } catch (error) {
    throw unencodable('request', error)
  }
}

/** Checks that something is an object of options. */
export function optionsObject(name: string, value: unknown): Record<string, unknown> {
  if (value === undefined || value === null) return {}
  if (typeof value === 'string') {
    // Most likely a key that stands in the wrong place: it is not shown.
    throw invalid(name, undefined, 'an object', 'a string')
  }
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(name, value, 'an object')
  return value as Record<string, unknown>
}

/** Checks that only these options are there. */
export function onlyThese(options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) if (!known.includes(name)) throw unknown(name, known.join(', '))
}

/** Checks a text that must say something. */
export function nonEmpty(name: string, value: unknown, accepted: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(name, value, accepted)
  return value
}

/** Checks a number within bounds. */
export function numberIn(name: string, value: unknown, from: number, to = Number.MAX_VALUE): number {
  if (typeof value === 'number' && value >= from && value <= to) return value
  throw invalid(name, value, to >= Number.MAX_VALUE ? `a number from ${from}` : `a number from ${from} to ${to}`)
}

/** Checks one of a set of words. */
export function oneOf<T extends string>(name: string, value: unknown, words: readonly T[]): T {
  if (!words.includes(value as T)) throw invalid(name, value, words.map((word) => `'${word}'`).join(', '))
  return value as T
}

/** The longest time that an option may name, seven days: as Rust has it. */
const LONGEST_MS = 604_800_000

/** Checks a whole number. */
export function wholeNumber(name: string, value: unknown, from: number): number {
  if (!Number.isInteger(value) || (value as number) < from) throw invalid(name, value, `a whole number from ${from}`)
  return value as number
}

/**
 * How many attempts there may be in all: `maxAttempts`, or `maxRetries`, as the HolySheep tutorials call it where it
 * counts the first attempt too.
 */
export function attemptsOf(given: { maxAttempts?: unknown; maxRetries?: unknown }, preset: number): number {
  const { maxAttempts, maxRetries } = given
  if (maxAttempts === undefined) return wholeNumber('maxRetries', maxRetries ?? preset, 1)
  if (maxRetries !== undefined)
    throw invalid('maxAttempts', undefined, 'one of the two', 'a value beside `maxRetries`, which means the same here')
  return wholeNumber('maxAttempts', maxAttempts, 1)
}

/** Checks a time. */
export function wholeMs(name: string, value: unknown, from = 0): number {
  if (!Number.isInteger(value) || (value as number) < from || (value as number) > LONGEST_MS)
    throw invalid(name, value, `whole milliseconds from ${from} to ${LONGEST_MS}`)
  return value as number
}

/** Checks an optional callback. */
export function callback<T>(name: string, value: T | null | undefined): T | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'function') throw invalid(name, value, 'a function')
  return value
}

/** Tells an observer. Its fault must end nothing: it becomes a process warning. */
export function tell<T>(name: string, observer: ((what: T) => unknown) | undefined, what: T) {
  const warn = (error: unknown) => process.emitWarning(`${name} failed: ${error}`, { type: 'HolySheepWarning' })
  try {
    const returned = observer?.(what) as PromiseLike<unknown> | undefined
    if (typeof returned?.then === 'function') returned.then(undefined, warn)
  } catch (error) {
    warn(error)
  }
}

/** Takes the signal out of the options of a call, and checks it. */
export function splitSignal(options: unknown): { signal?: AbortSignal; rest: Record<string, unknown> } {
  const { signal, ...rest } = optionsObject('options', options)
  if (signal === undefined || signal === null) return { rest }
  if (typeof (signal as AbortSignal).addEventListener !== 'function' || !('aborted' in (signal as object))) {
    throw invalid('signal', signal, 'an AbortSignal')
  }
  return { signal: signal as AbortSignal, rest }
}

/** Resolves after a time. Longer than one timer can hold is fine. */
export async function sleep(ms: number): Promise<void> {
  if (typeof ms !== 'number' || !(ms >= 0)) throw invalid('ms', ms, 'milliseconds from 0')
  const longest = 2 ** 31 - 1
  for (let left = ms; left > 0 || left === ms; left -= longest) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, longest)))
  }
}
