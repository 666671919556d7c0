/** The error classes, and how they are made from the records that come out of Rust. */
import type { AttemptRecord, Snapshot } from '../../index'
import { addon } from './native'

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
  declare readonly attempts: AttemptRecord[]
  declare readonly partial?: string
  declare readonly snapshot?: Snapshot
  declare readonly requestId?: string
  declare readonly type?: string
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
  declare readonly phase: 'connect' | 'first-token' | 'idle' | 'attempt' | 'total' | 'queue'
  declare readonly timeBreakdown?: { queueMs: number; waitMs: number; attemptMs: number }
}
class ConnectionError extends HolySheepError {}
class CircuitOpenError extends HolySheepError {}
class StreamInterruptedError extends HolySheepError {
  declare readonly partial: string
  declare readonly snapshot: Snapshot
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

// A class's name is on its prototype, as with JavaScript's own errors: it survives minification and
// stays out of the own properties.
for (const [name, value] of Object.entries(classes)) {
  Object.defineProperty(value.prototype, 'name', { value: name, writable: true, configurable: true })
}

const builtins: Record<string, new (message: string) => Error> = { TypeError, RangeError }

/** Errors that were made while nobody's call was on the stack. */
const rootless = new WeakSet<object>()

/**
 * Gives an error that the dispatcher has made the stack of the call that failed. For the continuation of an async function:
 * V8 finds there who awaits it, at no cost as long as nothing fails. Frames down to `below` are left out.
 */
export function traced(error: unknown, below: (...given: never[]) => unknown = traced): unknown {
  for (let link = error; link instanceof Error && rootless.delete(link); link = link.cause) {
    Error.captureStackTrace?.(link, below)
  }
  return error
}

/** The same with the stack of an object that was made where the call was. */
export function rooted(error: unknown, { stack }: { stack?: string }): unknown {
  const frames = stack?.slice(stack.indexOf('\n'))
  for (let link = error; link instanceof Error && rootless.delete(link); link = link.cause) {
    if (!frames) continue
    const head = `${link.name}${link.message && ': '}${link.message}`
    Object.defineProperty(link, 'stack', { value: head + frames, configurable: true, writable: true })
  }
  return error
}

/** Waits for a promise; its error gets the stack of who waits. */
export async function following<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw traced(error, following)
  }
}

/** Builds the error that a record describes. */
export function fromRecord(record: ErrorRecord): Error {
  const { class: name, message, cause, snapshot, headers, ...data } = record
  const Builtin = builtins[name]
  if (Builtin) return Object.assign(new Builtin(message), { code: data.code })
  const Class = (classes as Record<string, typeof HolySheepError>)[name] ?? HolySheepError
  const error = cause ? new Class(message, { cause: fromRecord(cause) }) : new Class(message)
  if (snapshot !== undefined) Object.defineProperty(error, 'snapshot', { value: snapshot, configurable: true })
  rootless.add(error)
  if (headers !== undefined) Object.defineProperty(error, 'headers', { value: headers, configurable: true })
  return Object.assign(error, data)
}

/** The error of a wrong argument: which, what was given (`said`, where that is secret), what is accepted. */
export function invalid(name: string, given: unknown, accepted: string, said = describe(given)): TypeError {
  const error = new TypeError(`${name}: got ${said}; accepted: ${accepted}`)
  return Object.assign(error, { code: 'INVALID_ARGUMENT' })
}

/** The error of a call that comes when it cannot be served any more. */
export function invalidState(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'INVALID_STATE' })
}

/** The error of an option that does not exist. `accepted` are names with commas between them. */
export function unknown(name: string, accepted: string): TypeError {
  const meant = addon.didYouMean(name, accepted.split(', '))
  const error = new TypeError(`${name}: unknown option${meant}; accepted: ${accepted}`)
  return Object.assign(error, { code: 'INVALID_ARGUMENT' })
}

/** A value as a person would write it, short. */
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

/** Calls into Rust; what it throws carries a record, and becomes the error that the record describes. */
export function native<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    const message = (error as Error).message
    if (!message?.startsWith('{"class":')) throw error
    const made = fromRecord(JSON.parse(message))
    Error.captureStackTrace?.(made, native)
    throw made
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

/** Whether a failure is retried where no table says otherwise. */
export function isRetryable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { code, status, cause } = error as { code?: unknown; status?: unknown; cause?: { code?: unknown } }
  const own = error instanceof HolySheepError ? [code] : [status, code, cause?.code]
  const first = own.find((value) => typeof value === 'number' || (typeof value === 'string' && value !== ''))
  if (first === undefined) return false
  // No money is left: the status alone does not say so.
  if (code === 'QUOTA_EXHAUSTED' || code === 'insufficient_quota') return false
  if (error instanceof HolySheepError && error.status !== undefined) {
    return addon.isRetryableCode(String(error.status)) && addon.isRetryableCode(String(code))
  }
  return addon.isRetryableCode(String(first))
}

/** The error of the last attempt: what `onError` receives. */
export function lastError(thrown: unknown): Error {
  if (!(thrown instanceof RetriesExhaustedError) || !(thrown.cause instanceof HolySheepError)) {
    return thrown instanceof Error ? thrown : Object.assign(new Error(String(thrown)), { cause: thrown })
  }
  const { attempts, partial, requestId } = thrown
  return Object.assign(thrown.cause, { attempts, ...(partial !== undefined && { partial }), requestId })
}
