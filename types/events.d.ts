/** What a client reports as it happens, and the record of each attempt. */
import type { CircuitState } from './limits.js'

/**
 * What a client reports. `call` is the id of a call. `requestId` is the id of an attempt as sent (`x-client-request-id`):
 * that of the attempt that the event is about, otherwise that of the previous one; absent before the first.
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
      /** From the start of the attempt. */
      firstTokenMs: number
      /** The response headers, without cookies and hop-by-hop headers; absent if there are none. */
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
      /** The provider's own id of the request, if it sent one. */
      providerRequestId?: string
      code: string
      /** Of a timeout: which stage exceeded its limit. */
      phase?: TimeoutPhase
      status?: number
      message: string
      durationMs: number
    }
  /** Two attempts were in flight (`hedge`), and the other one had its first token first. */
  | {
      type: 'hedge-lost'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      /** Whether the hedge lost; if false, the attempt that it backed up did. */
      hedge: boolean
      durationMs: number
    }
  | { type: 'wait'; call: string; requestId?: string; ms: number; reason: WaitReason }
  | { type: 'retry-budget'; call: string; requestId?: string; budget: 'client' | 'tenant' }
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
  /**
   * The answer has outgrown `recovery.maxBytes`: it goes on, and is not continued if it is interrupted. From here on there
   * is no snapshot of it. At most once in a call.
   */
  | { type: 'recovery-disabled'; call: string; requestId: string; maxBytes: number }
  | {
      type: 'circuit'
      /** Absent if a probe (`healthCheckMs`) caused the change, which is reported with the next call. */
      call?: string
      requestId?: string
      endpoint: string
      model: string
      from: CircuitState
      to: CircuitState
    }
  /**
   * The provider reports a usage that the request cannot have caused: negative, or beyond the bounds in this event. It is not
   * counted: the attempt costs what was sent and received, overestimated, as without a usage.
   */
  | {
      type: 'implausible-usage'
      call: string
      attempt: number
      endpoint: string
      model: string
      requestId: string
      promptTokens?: number
      completionTokens?: number
      totalTokens?: number
      maxPromptTokens: number
      maxCompletionTokens: number
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
      /** The answer is settled: the whole text has arrived. Its usage may still come. */
      type: 'complete'
      call: string
      requestId?: string
      attempts: number
      endpoint: string
      model: string
      durationMs: number
      /** The response headers of an answer without a token, which has no `first-token` event; absent if there are none. */
      headers?: Record<string, string>
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

/** The stage that exceeded its limit. */
export type TimeoutPhase = 'connect' | 'first-token' | 'idle' | 'throughput' | 'attempt' | 'total' | 'queue' | 'paused'

/** One attempt and its outcome. */
export interface AttemptRecord {
  /** 1-based. */
  attempt: number
  endpoint: string
  /** The requested model, by your name for it. */
  model: string
  /** The provider's id of the request if it sent one, otherwise ours (`x-client-request-id`). */
  requestId: string
  /**
   * `complete`, the code of the error that ended it, or `hedge-lost`: aborted because the other attempt had its first token
   * first (`hedge`). Attempts are listed in the order in which they ended.
   */
  outcome: string
  status?: number
  message?: string
  /** How long the call waited before the attempt, in milliseconds. */
  waitMs: number
  /** From its start to its end, in milliseconds; of a complete one, to the moment its answer was settled. */
  durationMs: number
  firstTokenMs?: number
  /** How many text deltas it delivered. */
  deltas: number
}
