/** What calls may cost, and what they have cost. */
import type { ClientEvent } from './events.js'

/** What the calls of a client may cost. An upper bound is reserved before each attempt: see docs/cost.md. */
export interface CostOptions {
  /** Prices in USD for a million tokens, by model, beside those of the catalogue. */
  prices?: Record<string, { input: number; output: number }>
  /**
   * What all calls together may cost in a window, in USD. A call whose bound does not fit gets a `CostCapError` before
   * anything is sent; one without `max_tokens` runs against what is left, and is cut there. The one exception: a provider that counts more tokens
   * than the bound allows for can put the ledger past it. No cap unless set.
   */
  hardCapUsd?: number
  /** The same for the calls of each `budgetKey`, in USD. No cap unless set. */
  keyCapUsd?: number
  /**
   * When this much is spent in a window, in USD: a `soft-limit` event, and from then on the cheapest of the requested
   * model and `fallbackModels` is tried first. At most `hardCapUsd`. Off unless set.
   */
  softLimitUsd?: number
  /** The windows, which begin at UTC boundaries; `total` never ends. @default 'day' */
  window?: 'minute' | 'hour' | 'day' | 'month' | 'total'
  /**
   * Counts the tokens of a prompt's text, instead of the rule by script. Called once a call for each model of its
   * chain, synchronously. What it throws, the call throws.
   */
  countTokens?(model: string, text: string): number
  /** Told when `softLimitUsd` is reached, once a window. */
  onSoftLimit?(event: Extract<ClientEvent, { type: 'soft-limit' }>): void
}

/** What was spent, as `client.cost()` reports it. */
export interface CostReport {
  window: 'minute' | 'hour' | 'day' | 'month' | 'total'
  /** When the window began, in epoch milliseconds; of `total`, when the client was made. */
  since: number
  spentUsd: number
  /** By calls under way, where `cost` is set. */
  reservedUsd: number
  capUsd: number | null
  /** Past 10,000 keys and 256 models the rest shares one line, `(others)`. */
  byKey: Record<string, { spentUsd: number; reservedUsd: number }>
  byModel: Record<string, { spentUsd: number; reservedUsd: number }>
}
