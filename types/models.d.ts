/** What is known of models and of questions. */
import type { ChatRequest } from './chat.js'

/** What is known of a model. What is not there is not known. */
export interface ModelInfo {
  /** Prompt and answer together, in tokens. */
  contextTokens?: number | null
  /** The longest answer, in tokens. */
  maxOutputTokens?: number | null
  /** USD for a million tokens of the prompt. */
  inputUsdPerMillion?: number | null
  /** USD for a million tokens of the answer. */
  outputUsdPerMillion?: number | null
}

/** A model as its provider lists it. */
export interface ProviderModel {
  id: string
  [field: string]: unknown
}

/**
 * The built-in catalogue: context and output limits and prices by model. It ages; the `models` option adds to it.
 * Each call gives a copy of its own.
 */
export function catalogue(): Record<string, ModelInfo>

export type Complexity = 'simple' | 'moderate' | 'complex'

/**
 * How hard a question is, from what the user says (system and assistant messages do not count): `complex` with two of
 * the keywords ("phân tích", "so sánh", "analyze", "compare" …) or more than 500 characters, `moderate` with one or more
 * than 150, else `simple`. Case and the Unicode form of accents do not matter. @throws TypeError for what is no array
 * of messages.
 */
export function classifyComplexity(messages: ChatRequest['messages']): Complexity
