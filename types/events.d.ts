/** What a client reports as it happens, and what is remembered of each attempt. */
import type { CircuitState } from './limits.js'

/**
 * What a client reports. `call` names a call. `requestId` is the id of an attempt as it was sent (`x-client-request-id`):
 * of the one that the event is about, or of the last one before it; without one there was none yet.
 */
export type ClientEvent =
  | {
      type: 'attempt'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      reason: 'first' | 'retry' | 'fallback' | 'hedge'
    }
  | {
      type: 'first-token'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      afterMs: number
      /** The response's headers that say something of the request and of limits; absent where there are none. */
      headers?: Record<string, string>
    }
  | {
      type: 'attempt-failed'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      /** The name of the error's class. */
      class: string
      /** The provider's own id of the request, where it sent one. */
      providerRequestId?: string
      code: string
      status?: number
      message: string
      durationMs: number
    }
  /** Two attempts ran beside each other (`hedge`), and the other one had its first token first. */
  | {
      type: 'hedge-lost'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      /** The hedge has lost; otherwise the attempt that it was made for. */
      hedge: boolean
      durationMs: number
    }
  | { type: 'wait'; call: string; requestId?: string; ms: number; reason: WaitReason }
  | { type: 'retry-budget'; call: string; requestId?: string; budget: 'client' | 'key' }
  | {
      type: 'fallback'
      call: string
      requestId?: string
      endpoint: string
      model: string
      fromEndpoint: string
      fromModel: string
    }
  | {
      type: 'recovery'
      call: string
      requestId?: string
      count: number
      received: number
      endpoint: string
      model: string
      waitMs: number
    }
  | {
      type: 'circuit'
      /** None where a probe (`healthCheckMs`) did it: that is told with the next call. */
      call?: string
      requestId?: string
      endpoint: string
      model: string
      from: CircuitState
      to: CircuitState
    }
  | {
      type: 'soft-limit'
      call: string
      requestId?: string
      window: string
      since: number
      softLimitUsd: number
      spentUsd: number
    }
  | {
      type: 'complete'
      call: string
      requestId?: string
      attempts: number
      endpoint: string
      model: string
      durationMs: number
    }
  | {
      type: 'failed'
      call: string
      requestId?: string
      attempts: number
      code: string
      message: string
      durationMs: number
    }

export type WaitReason = 'backoff' | 'retry-after' | 'rate-limit' | 'queue'

/** What one attempt was and how it ended. */
export interface AttemptRecord {
  /** 1-based. */
  attempt: number
  endpoint: string
  /** The model that was asked, by our name for it. */
  model: string
  /** The provider's id of the request where it sent one, else ours (`x-client-request-id`). */
  requestId: string
  /**
   * `complete`, the code of the error that ended it, or `hedge-lost`: given up because the attempt beside it had its first
   * token first (`hedge`). Attempts stand in the order in which they ended.
   */
  outcome: string
  status?: number
  message?: string
  /** How long the call waited before it, in milliseconds. */
  waitedMs: number
  durationMs: number
  firstTokenMs?: number
  /** Pieces of text that it brought. */
  pieces: number
}
