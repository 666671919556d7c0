// What the server and the page say to each other.

export const FAULTS = ['none', 'cut', 'busy', 'outage', 'all-down'] as const
export type Fault = (typeof FAULTS)[number]

/** A line of the panel. */
export interface Happening {
  id: number
  /** Since the question, in milliseconds. */
  afterMs: number
  kind: 'good' | 'bad' | 'wait' | 'info'
  text: string
}

/** What happened to one question. */
export interface Course {
  /** 1-based, since the server started. */
  number: number
  /** Epoch milliseconds. */
  at: number
  happenings: Happening[]
}

export interface Status {
  /** Null: a real provider, which cannot be switched. */
  fault: Fault | null
  endpoints: Array<{
    name: string
    url: string
    circuit: 'CLOSED' | 'OPEN' | 'HALF_OPEN'
    attempts: number
    failures: number
  }>
  counters: { calls: number; inFlight: number; retries: number; fallbacks: number; recoveries: number }
  /** The latest first. */
  courses: Course[]
}

/** What an answer waits for while none of it arrives. */
export interface Progress {
  text: string
  /** It is a pause, and that is how long it lasts. */
  waitMs?: number
}

/** The last event of an answer: how it came about. */
export interface Summary {
  attempts: number
  /** How many times the answer was recovered. */
  recoveries: number
  /** Who wrote it, in order. */
  endpoints: string[]
  totalTokens: number | null
}
