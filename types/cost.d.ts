/** What calls may cost, and what they have cost. */
import type { ClientEvent } from './events.js'

/** Cost limits of a client. An upper bound is reserved before each attempt: see docs/cost.md. */
export interface CostOptions {
  /** Prices in USD per million tokens, by model, in addition to those of the catalogue. */
  prices?: Record<string, { input: number; output: number }>
  /**
   * What all calls together may cost in a window, in USD. If neither a call's upper bound nor that of a cheaper model of
   * `fallbackModels` fits, the call fails with a `CostCapError` before anything is sent. A call without `max_tokens` may
   * use what is left and is cut off there. The one exception: a provider that counts more tokens than the bound allows for
   * can push the ledger past the cap. No cap by default.
   */
  hardCapUsd?: number
  /** The same for the calls of each `tenant`, in USD. No cap by default. */
  tenantCapUsd?: number
  /**
   * Once this much is spent in a window, in USD, a `soft-limit` event is emitted, and the cheapest of the requested model
   * and `fallbackModels` is tried first. At most `hardCapUsd`. Off by default.
   */
  softLimitUsd?: number
  /** The windows, aligned to UTC; `total` never ends. @default 'day' */
  window?: 'minute' | 'hour' | 'day' | 'month' | 'total'
  /**
   * Counts the tokens of a prompt's text, in place of the built-in estimate by script. Called synchronously, once per
   * call for each model of its fallback chain. Errors propagate to the call.
   */
  countTokens?(model: string, text: string): number
  /** Called when `softLimitUsd` is reached, once per window. */
  onSoftLimit?(event: Extract<ClientEvent, { type: 'soft-limit' }>): void
}

/** What was spent, as `client.cost()` reports it. */
export interface CostReport {
  window: 'minute' | 'hour' | 'day' | 'month' | 'total'
  /** When the window began, in epoch milliseconds; for `total`, when the client was created. */
  since: number
  spentUsd: number
  /** Reserved by calls in flight, if `cost` is set. */
  reservedUsd: number
  capUsd: number | null
  /** Beyond 10,000 tenants and 256 models, the rest share one entry, `(others)`. */
  byTenant: Record<string, { spentUsd: number; reservedUsd: number }>
  byModel: Record<string, { spentUsd: number; reservedUsd: number }>
}
