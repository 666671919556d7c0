/** The error classes, and their construction from the error records of Rust. */
import type { AttemptRecord, Snapshot, TimeoutPhase } from '../../index'
import { type Brand, brandErrors } from './copies'
import { addon, copy } from './native'
import { bare, own } from './own'

export interface ErrorRecord {
  class: string
  code: string
  message: string
  attempts?: AttemptRecord[]
  cause?: ErrorRecord
  snapshot?: string
  [field: string]: unknown
}

class HolySheepError extends Error {
  declare readonly code: string
  declare readonly status?: number
  declare readonly retryAfterMs?: number
  declare readonly scope?: 'tenant' | 'client'
  declare readonly attempts: AttemptRecord[]
  declare readonly partial?: string
  declare readonly snapshot?: Snapshot
  declare readonly requestId?: string
  declare readonly type?: string
  declare readonly providerMessage?: string
  declare readonly providerCode?: string
  declare readonly param?: string
  declare readonly body?: string
  declare readonly headers?: Record<string, string>

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    Object.defineProperty(this, 'attempts', { value: [], writable: true, configurable: true, enumerable: true })
  }
}
class APIError extends HolySheepError {}
class AuthenticationError extends APIError {}
class RateLimitError extends APIError {}
class TimeoutError extends HolySheepError {
  declare readonly phase: TimeoutPhase
  declare readonly timeBreakdown?: { queueMs: number; waitMs: number; attemptMs: number }
}
class ConnectionError extends HolySheepError {}
class CircuitOpenError extends HolySheepError {}
class StreamInterruptedError extends HolySheepError {
  declare readonly partial: string
}
class MalformedResponseError extends HolySheepError {}
class RetriesExhaustedError extends HolySheepError {}
class QueueFullError extends HolySheepError {}
class CostCapError extends HolySheepError {
  declare readonly capUsd: number
  declare readonly spentUsd: number
  declare readonly reservedUsd: number
  declare readonly neededUsd: number
  declare readonly window: 'minute' | 'hour' | 'day' | 'month' | 'total'
}

const classes = {
  HolySheepError,
  APIError,
  AuthenticationError,
  RateLimitError,
  TimeoutError,
  ConnectionError,
  CircuitOpenError,
  StreamInterruptedError,
  MalformedResponseError,
  RetriesExhaustedError,
  QueueFullError,
  CostCapError,
}

// The name is on the prototype, as with JavaScript's built-in errors: it survives minification and is not an own property.
for (const [name, value] of Object.entries(classes)) {
  Object.defineProperty(value.prototype, 'name', { value: name, writable: true, configurable: true })
}

brandErrors(classes)

const builtins: Record<string, new (message: string) => Error> = { TypeError, RangeError }

/** Errors that were created by the dispatcher, so without the caller on the stack. */
const withoutCallerStack = new WeakSet<object>()

/**
 * Gives an error from the dispatcher the stack of the failed call, without the frames above `below`. Call it after an
 * `await` of an async function, where V8 knows the awaiting functions. That costs nothing until a call fails.
 */
export function addCallerStack(error: unknown, below: (...args: never[]) => unknown = addCallerStack): unknown {
  for (let link = error; link instanceof Error && withoutCallerStack.delete(link); link = link.cause) {
    Error.captureStackTrace?.(link, below)
  }
  return error
}

/** Gives an error from the dispatcher the stack of an object that was created in the call. */
export function addStackOf(error: unknown, { stack }: { stack?: string }): unknown {
  const frames = stack?.slice(stack.indexOf('\n'))
  for (let link = error; link instanceof Error && withoutCallerStack.delete(link); link = link.cause) {
    if (!frames) continue
    const head = `${link.name}${link.message && ': '}${link.message}`
    Object.defineProperty(link, 'stack', { value: head + frames, configurable: true, writable: true })
  }
  return error
}

/** Awaits a promise, and gives its error the caller's stack. */
export async function withCallerStack<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw addCallerStack(error, withCallerStack)
  }
}

/** A text on one printable line: line breaks and control characters become escapes. */
export function oneLine(text: string): string {
  return /[^\x20-\x7e]/.test(text) ? addon.oneLine(text) : text
}

/** Builds the error that a record describes. */
export function fromRecord(record: ErrorRecord): Error {
  const { class: name, message: text, cause, snapshot, headers, ...fields } = bare({ ...record })
  const message = oneLine(text)
  const Builtin = own(builtins, name) as (typeof builtins)[string] | undefined
  if (Builtin) return Object.assign(new Builtin(message), { code: fields.code })
  const Class = (classes as Record<string, typeof HolySheepError>)[name] ?? HolySheepError
  const error = cause ? new Class(message, { cause: fromRecord(cause) }) : new Class(message)
  if (snapshot !== undefined) Object.defineProperty(error, 'snapshot', { value: snapshot, configurable: true })
  withoutCallerStack.add(error)
  if (headers !== undefined) Object.defineProperty(error, 'headers', { value: headers, configurable: true })
  return Object.assign(error, fields)
}

/**
 * The error of an invalid argument. `description` replaces the value in the message if the value may be a secret or does
 * not explain the error.
 */
export function invalid(name: string, value: unknown, accepted: string, description = describe(value)): TypeError {
  const error = new TypeError(oneLine(`${name}: got ${description}; accepted: ${accepted}`))
  return Object.assign(error, { code: 'INVALID_ARGUMENT' })
}

/** The error of an object that another version of this package has created. */
export function otherVersion(name: string, { kind, copy: other }: Brand): TypeError {
  const error = new TypeError(
    `${name}: got ${kind} of another copy of holysheep, version ${other.version} in ${other.path}; accepted: one of this ` +
      `copy, version ${copy.version} in ${copy.path}. 'npm ls holysheep' shows why both are installed: require one ` +
      `version everywhere, and run 'npm dedupe'`,
  )
  return Object.assign(error, { code: 'INVALID_ARGUMENT' })
}

/** The error of a method that the object's state no longer allows. */
export function invalidState(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'INVALID_STATE' })
}

/** The error of a file that cannot be opened because this process, or the system, has no descriptor left. */
export function noDescriptor(path: string, code: 'EMFILE' | 'ENFILE'): HolySheepError {
  const remedy = code === 'EMFILE' ? 'raise the limit of this process (`ulimit -n`)' : 'close files on this system'
  const error = new HolySheepError(`${path} cannot be opened: no file descriptor is left (${code}); ${remedy}`)
  return Object.assign(error, { code: 'LOCAL_RESOURCE' })
}

/** The error of an unknown option. `accepted` lists the accepted names, separated by commas. */
export function unknownOption(name: string, accepted: string): TypeError {
  const suggestion = addon.didYouMean(name, accepted.split(', '))
  const error = new TypeError(oneLine(`${name}: unknown option${suggestion}; accepted: ${accepted}`))
  return Object.assign(error, { code: 'INVALID_ARGUMENT' })
}

/** A short description of a value for an error message. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}' (a string)`
    case 'function':
      return 'a function'
    case 'bigint':
      return `${value}n`
    case 'symbol':
      return 'a symbol'
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? 'an array' : 'an object'
    default:
      return String(value)
  }
}

/** Calls into Rust, and throws the typed error for the error record that Rust throws. */
export function native<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    const message = (error as Error).message
    if (!message?.startsWith('{"class":')) throw error
    const typed = fromRecord(JSON.parse(message))
    Error.captureStackTrace?.(typed, native)
    throw typed
  }
}

export {
  APIError,
  AuthenticationError,
  CircuitOpenError,
  ConnectionError,
  CostCapError,
  HolySheepError,
  MalformedResponseError,
  QueueFullError,
  RateLimitError,
  RetriesExhaustedError,
  StreamInterruptedError,
  TimeoutError,
}

/** Whether an error is retried by default, without a decision table. */
export function isRetryable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { code, status, cause } = error as { code?: unknown; status?: unknown; cause?: { code?: unknown } }
  const codes = error instanceof HolySheepError ? [code] : [status, code, cause?.code]
  const first = codes.find((value) => typeof value === 'number' || (typeof value === 'string' && value !== ''))
  if (first === undefined) return false
  // An exhausted quota is often a 429, so the status alone looks retryable.
  if (code === 'QUOTA_EXHAUSTED' || code === 'insufficient_quota') return false
  if (error instanceof HolySheepError && error.status !== undefined) {
    return addon.isRetryableCode(String(error.status)) && addon.isRetryableCode(String(code))
  }
  return addon.isRetryableCode(String(first))
}

/** The error of the last attempt, which `onError` receives. */
export function lastError(thrown: unknown): Error {
  if (!(thrown instanceof RetriesExhaustedError) || !(thrown.cause instanceof HolySheepError)) {
    return thrown instanceof Error ? thrown : Object.assign(new Error(String(thrown)), { cause: thrown })
  }
  const { attempts, partial, requestId } = thrown
  return Object.assign(thrown.cause, { attempts, ...(partial !== undefined && { partial }), requestId })
}
