// What the client does for a question, in words: for the panel, and for who waits for the answer.
import { subscribe } from 'node:diagnostics_channel'
import type { CallTrace, ClientEvent } from 'holysheep'
import type { Course, Happening, Progress } from './types'

/** How many questions the panel can go back, and how many lines each has at most. */
const COURSES = 12
const HAPPENINGS = 40

type Line = Omit<Happening, 'id' | 'afterMs'>

interface Followed {
  trace: CallTrace
  course: Course
  /** A part of the answer is there, so the rest is what is asked for. */
  broken: boolean
  /** That of the attempt that failed last, where it had one. */
  status?: number
  /** A line that comes after that of the next event. */
  held?: Line
  onProgress?: (progress: Progress) => void
}

/** Follows the calls of the client whose `onEvent` hears. */
export class Courses {
  readonly #followed: Followed[] = []
  readonly #listeners = new Map<string, (progress: Progress) => void>()
  #number = 0
  #line = 0

  constructor() {
    // The trace is what ties the events of a call to the `sessionId` that it was made with.
    subscribe('tracing:holysheep:call:start', (message) => {
      const trace = message as CallTrace
      const course = { number: ++this.#number, at: Date.now(), happenings: [] }
      const sessionId = trace.sessionId ?? ''
      this.#followed.unshift({ trace, course, broken: false, onProgress: this.#listeners.get(sessionId) })
      this.#listeners.delete(sessionId)
      this.#followed.length = Math.min(this.#followed.length, COURSES)
    })
    // A call that is stopped is no failed one, and no event tells of it.
    subscribe('tracing:holysheep:call:error', (message) => {
      const followed = this.#followed.find(({ trace }) => trace === message)
      const { name } = ((message as CallTrace).error ?? {}) as { name?: string }
      if (followed && name === 'AbortError') this.#write(followed, { kind: 'info', text: 'Stopped by the reader' })
    })
  }

  /** Tells what the call with this `sessionId`, which is about to be made, waits for. */
  follow(sessionId: string, onProgress: (progress: Progress) => void) {
    this.#listeners.set(sessionId, onProgress)
  }

  /** It was not made. */
  unfollow(sessionId: string) {
    this.#listeners.delete(sessionId)
  }

  readonly onEvent = (event: ClientEvent) => {
    const followed = this.#followed.find(({ trace }) => trace.call !== undefined && trace.call === event.call)
    if (!followed) return
    if (event.type === 'recovery') followed.broken = true
    if (event.type === 'attempt-failed') followed.status = event.status
    const line = lineOf(event, followed)
    // A breaker tells that it opens before the failure is told that made it.
    if (event.type === 'circuit' && event.to === 'OPEN') followed.held = line
    else {
      this.#write(followed, line)
      this.#write(followed, followed.held)
      followed.held = undefined
    }
    const progress = progressOf(event, followed)
    if (progress) followed.onProgress?.(progress)
  }

  #write({ course: { at, happenings } }: Followed, line: Line | undefined) {
    if (!line || happenings.length >= HAPPENINGS) return
    happenings.push({ id: ++this.#line, afterMs: Date.now() - at, ...line })
  }

  list(): Course[] {
    return this.#followed.map(({ course }) => course)
  }
}

/** A line of the panel says what has happened, not what will: a breaker that opens may forestall the next attempt. */
function lineOf(event: ClientEvent, { broken }: Followed): Line | undefined {
  switch (event.type) {
    case 'attempt':
      return { kind: 'info', text: `${event.endpoint} is asked${askedFor(event.reason, broken)}` }
    case 'first-token':
      return { kind: 'good', text: `${event.endpoint} answers` }
    case 'attempt-failed':
      return { kind: 'bad', text: `${event.endpoint} ${failureOf(event)}` }
    case 'wait':
      if (event.ms < 50) return
      return { kind: 'wait', text: `Waiting ${(event.ms / 1000).toFixed(1)} s` }
    case 'recovery':
      return { kind: 'info', text: `${event.received} characters are there; only the rest is needed` }
    case 'circuit':
      if (event.to === 'OPEN') return { kind: 'bad', text: `${event.endpoint} is not asked for a while: it rests` }
      if (event.to === 'HALF_OPEN') return { kind: 'wait', text: `${event.endpoint} has rested: one question tries it` }
      return { kind: 'good', text: `${event.endpoint} works again` }
    case 'complete':
      return { kind: 'good', text: 'The answer is complete' }
    case 'failed':
      return { kind: 'bad', text: event.code === 'CIRCUIT_OPEN' ? 'Given up: every provider rests' : 'Given up' }
  }
}

function askedFor(reason: Extract<ClientEvent, { type: 'attempt' }>['reason'], broken: boolean): string {
  if (broken) return ' for the rest'
  return reason === 'retry' ? ' again' : reason === 'fallback' ? ' instead' : ''
}

function failureOf({ status, code }: Extract<ClientEvent, { type: 'attempt-failed' }>): string {
  if (status === 429) return 'asks for a pause: too many requests (429)'
  if (status !== undefined && status >= 400) return `fails with status ${status}`
  return code === 'TIMEOUT' ? 'takes too long' : 'loses the connection'
}

function progressOf(event: ClientEvent, { broken, status }: Followed): Progress | undefined {
  switch (event.type) {
    case 'wait':
      return { text: 'Trying again', waitMs: event.ms }
    case 'fallback': {
      const { endpoint, fromEndpoint } = event
      const why = status === 429 ? 'is busy' : broken && (status ?? 0) < 400 ? 'broke off' : 'is down'
      return { text: `${fromEndpoint} ${why}; asking ${endpoint}${broken ? ' for the rest' : ''}` }
    }
    case 'attempt':
      if (event.reason === 'retry') return { text: `Asking ${event.endpoint}${askedFor('retry', broken)}` }
  }
}
