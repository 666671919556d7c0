// The client's events as text: a log of each call for the panel, and progress for the chat.
import { subscribe } from 'node:diagnostics_channel'
import type { CallTrace, ClientEvent } from 'holysheep'
import type { CallLog, LogEntry, Progress } from './types'

/** The maximum number of logs, and of entries in each. */
const MAX_LOGS = 12
const MAX_ENTRIES = 40

type Entry = Omit<LogEntry, 'id' | 'afterMs'>

interface Call {
  trace: CallTrace
  log: CallLog
  /** Part of the answer has arrived, so only the rest is requested. */
  interrupted: boolean
  /** The status of the last failed attempt, if it had one. */
  status?: number
  /** An entry to write after that of the next event. */
  deferred?: Entry
  onProgress?: (progress: Progress) => void
}

/** The logs of a client's calls; `onEvent` is the client's option of that name. */
export class CallLogs {
  readonly #calls: Call[] = []
  readonly #listeners = new Map<string, (progress: Progress) => void>()
  #number = 0
  #entry = 0

  constructor() {
    // The trace connects the events of a call to the `sessionId` of its options.
    subscribe('tracing:holysheep:call:start', (message) => {
      const trace = message as CallTrace
      const log = { number: ++this.#number, at: Date.now(), entries: [] }
      const sessionId = trace.sessionId ?? ''
      this.#calls.unshift({ trace, log, interrupted: false, onProgress: this.#listeners.get(sessionId) })
      this.#listeners.delete(sessionId)
      this.#calls.length = Math.min(this.#calls.length, MAX_LOGS)
    })
    // An aborted call is not a failure and emits no event.
    subscribe('tracing:holysheep:call:error', (message) => {
      const call = this.#calls.find(({ trace }) => trace === message)
      const { name } = ((message as CallTrace).error ?? {}) as { name?: string }
      if (call && name === 'AbortError') this.#write(call, { kind: 'info', text: 'Stopped by the user' })
    })
  }

  /** Reports the progress of the call that is about to be made with this `sessionId`. */
  subscribe(sessionId: string, onProgress: (progress: Progress) => void) {
    this.#listeners.set(sessionId, onProgress)
  }

  /** The call was not made after all. */
  unsubscribe(sessionId: string) {
    this.#listeners.delete(sessionId)
  }

  readonly onEvent = (event: ClientEvent) => {
    const call = this.#calls.find(({ trace }) => trace.call !== undefined && trace.call === event.call)
    if (!call) return
    if (event.type === 'recovery') call.interrupted = true
    if (event.type === 'attempt-failed') call.status = event.status
    const entry = entryOf(event, call)
    // The event of an opening breaker precedes that of the failure that opened it.
    if (event.type === 'circuit' && event.to === 'OPEN') call.deferred = entry
    else {
      this.#write(call, entry)
      this.#write(call, call.deferred)
      call.deferred = undefined
    }
    const progress = progressOf(event, call)
    if (progress) call.onProgress?.(progress)
  }

  #write({ log: { at, entries } }: Call, entry: Entry | undefined) {
    if (!entry || entries.length >= MAX_ENTRIES) return
    entries.push({ id: ++this.#entry, afterMs: Date.now() - at, ...entry })
  }

  list(): CallLog[] {
    return this.#calls.map(({ log }) => log)
  }
}

/** An entry says what has happened, not what comes next: a breaker that opens can prevent the next attempt. */
function entryOf(event: ClientEvent, { interrupted }: Call): Entry | undefined {
  switch (event.type) {
    case 'attempt':
      return { kind: 'info', text: `${requestOf(event.reason, interrupted)} sent to ${event.endpoint}` }
    case 'first-token':
      return { kind: 'good', text: `${event.endpoint} is answering` }
    case 'attempt-failed':
      return { kind: 'bad', text: `${event.endpoint}: ${failureOf(event)}` }
    case 'wait':
      if (event.ms < 50) return
      return { kind: 'wait', text: `Waiting ${(event.ms / 1000).toFixed(1)} s` }
    case 'recovery':
      return { kind: 'info', text: `${event.received} characters received; only the rest is requested` }
    case 'circuit':
      if (event.to === 'OPEN') return { kind: 'bad', text: `${event.endpoint} is paused: its circuit breaker is open` }
      if (event.to === 'HALF_OPEN') return { kind: 'wait', text: `${event.endpoint} is probed with one request` }
      return { kind: 'good', text: `${event.endpoint} has recovered` }
    case 'complete':
      return { kind: 'good', text: 'The answer is complete' }
    case 'failed':
      return {
        kind: 'bad',
        text: event.code === 'CIRCUIT_OPEN' ? 'The call failed: every circuit breaker is open' : 'The call failed',
      }
  }
}

function requestOf(reason: Extract<ClientEvent, { type: 'attempt' }>['reason'], interrupted: boolean): string {
  if (interrupted) return 'Request for the rest'
  return reason === 'retry' ? 'Retry' : reason === 'fallback' ? 'Failover request' : 'Request'
}

function failureOf({ status, code }: Extract<ClientEvent, { type: 'attempt-failed' }>): string {
  if (status === 429) return 'too many requests (status 429)'
  if (status !== undefined && status >= 400) return `the request failed with status ${status}`
  return code === 'TIMEOUT' ? 'the request timed out' : 'the connection was lost'
}

function progressOf(event: ClientEvent, { interrupted, status }: Call): Progress | undefined {
  switch (event.type) {
    case 'wait':
      return { text: 'Retrying', waitMs: event.ms }
    case 'fallback': {
      const { endpoint, fromEndpoint } = event
      const reason = status === 429 ? 'is busy' : interrupted && (status ?? 0) < 400 ? 'disconnected' : 'is down'
      return { text: `${fromEndpoint} ${reason}; asking ${endpoint}${interrupted ? ' for the rest' : ''}` }
    }
    case 'attempt':
      if (event.reason === 'retry')
        return { text: `Asking ${event.endpoint} ${interrupted ? 'for the rest' : 'again'}` }
  }
}
