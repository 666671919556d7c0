/** Model data, and the complexity of questions. */
import type { ChatRequest } from './chat.js'

/** Limits and prices of a model. A missing field is unknown. */
export interface ModelInfo {
  /** The context window (prompt and answer together), in tokens. */
  contextTokens?: number | null
  /** The longest answer, in tokens. */
  maxOutputTokens?: number | null
  /** USD per million prompt tokens. */
  inputUsdPerMillion?: number | null
  /** USD per million answer tokens. */
  outputUsdPerMillion?: number | null
}

/** A model as its provider lists it. */
export interface ProviderModel {
  id: string
  [field: string]: unknown
}

/**
 * The built-in catalogue: context limits, output limits and prices by model. It goes out of date; the `models` option
 * extends it. Each call returns a copy.
 */
export function catalogue(): Record<string, ModelInfo>

export type Complexity = 'simple' | 'moderate' | 'complex'

/**
 * The complexity of a question by its user messages (system and assistant messages do not count): `complex` with two of
 * the keywords ("phân tích", "so sánh", "analyze", "compare" …) or more than 500 characters, `moderate` with one or more
 * than 150, otherwise `simple`. Case and the Unicode form of accents do not matter. @throws TypeError if `messages` is not
 * an array of messages.
 */
export function classifyComplexity(messages: ChatRequest['messages']): Complexity
