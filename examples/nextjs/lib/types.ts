// The messages between the server and the page.

export const FAULTS = ['none', 'disconnect', 'busy', 'outage', 'all-down'] as const
export type Fault = (typeof FAULTS)[number]

/** An entry in the log of the panel. */
export interface LogEntry {
  id: number
  /** Since the question, in milliseconds. */
  afterMs: number
  kind: 'good' | 'bad' | 'wait' | 'info'
  text: string
}

/** The log of one call. */
export interface CallLog {
  /** 1-based, since the server started. */
  number: number
  /** Epoch milliseconds. */
  at: number
  entries: LogEntry[]
}

export interface Status {
  /** Null for a real provider, which has no faults to choose. */
  fault: Fault | null
  endpoints: Array<{
    name: string
    url: string
    circuit: 'CLOSED' | 'OPEN' | 'HALF_OPEN'
    attempts: number
    failures: number
  }>
  counters: { calls: number; inFlight: number; retries: number; fallbacks: number; recoveries: number }
  /** The latest is first. */
  logs: CallLog[]
}

/** What an answer is waiting for while no text arrives. */
export interface Progress {
  text: string
  /** The length of the delay, if it is one. */
  waitMs?: number
}

/** The last event of an answer, which sums up its attempts. */
export interface Summary {
  attempts: number
  /** How many times the answer was recovered. */
  recoveries: number
  /** The endpoints that wrote the answer, in order. */
  endpoints: string[]
  totalTokens: number | null
}
