// What the server and the page say to each other.

export const FAULTS = ['none', 'cut', 'busy', 'outage', 'all-down'] as const
export type Fault = (typeof FAULTS)[number]

/** A line of the panel. */
export interface Happening {
  id: number
  /** Epoch milliseconds. */
  at: number
  kind: 'good' | 'bad' | 'wait' | 'info'
  text: string
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
  happenings: Happening[]
}

/** The last event of an answer: how it came about. */
export interface Summary {
  attempts: number
  /** How often a break was mended. */
  recoveries: number
  /** Who wrote it, in order. */
  endpoints: string[]
  totalTokens: number | null
}
