/** What the engine answers, in the AI SDK's words. */
import type {
  JSONObject,
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4ResponseMetadata,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider'
import type { AttemptRecord, ChatCompletion } from '../../../index'

const REASONS: Record<string, LanguageModelV4FinishReason['unified']> = {
  stop: 'stop',
  length: 'length',
  content_filter: 'content-filter',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls',
}

/** A refusal is told as text, and as what it is by the reason. */
export function finishReasonOf(raw: string | null | undefined, refused: boolean): LanguageModelV4FinishReason {
  if (refused) return { unified: 'content-filter', raw: raw ?? undefined }
  return { unified: REASONS[raw ?? ''] ?? 'other', raw: raw ?? undefined }
}

interface Counts {
  prompt_tokens?: number
  completion_tokens?: number
  prompt_tokens_details?: { cached_tokens?: number } | null
  completion_tokens_details?: { reasoning_tokens?: number } | null
}

export function usageOf(given: unknown): LanguageModelV4Usage {
  const usage = (given ?? {}) as Counts
  const { prompt_tokens: input, completion_tokens: output } = usage
  const cached = usage.prompt_tokens_details?.cached_tokens
  const reasoning = usage.completion_tokens_details?.reasoning_tokens
  const without = (all: number | undefined, part = 0) => (all === undefined ? undefined : Math.max(0, all - part))
  return {
    inputTokens: { total: input, noCache: without(input, cached), cacheRead: cached, cacheWrite: undefined },
    outputTokens: { total: output, text: without(output, reasoning), reasoning },
    ...(given !== null && given !== undefined && { raw: given as NonNullable<LanguageModelV4Usage['raw']> }),
  }
}

/** How the answer came about: `providerMetadata.holysheep`. */
export function metadataOf(about: {
  endpoint?: string
  model?: string
  requestId?: string
  sessionId?: string
  attempts?: AttemptRecord[]
  costUsd?: number | null
}): SharedV4ProviderMetadata {
  const { endpoint, model, requestId, sessionId, attempts, costUsd = null } = about
  return { holysheep: { endpoint, model, requestId, sessionId, attempts: attempts?.length, costUsd } }
}

export function responseOf(of: { id?: string; created?: number; model?: string }): LanguageModelV4ResponseMetadata {
  return {
    ...(of.id && { id: of.id }),
    ...(of.model && { modelId: of.model }),
    ...(of.created && { timestamp: new Date(of.created * 1000) }),
  }
}

export function contentOf(message: ChatCompletion['choices'][number]['message']): LanguageModelV4Content[] {
  const content: LanguageModelV4Content[] = []
  const { reasoning_content: reasoning, tool_calls: calls = [] } = message as typeof message & {
    reasoning_content?: string
  }
  if (reasoning) content.push({ type: 'reasoning', text: reasoning })
  const text = `${message.content ?? ''}${message.refusal ?? ''}`
  if (text !== '') content.push({ type: 'text', text })
  for (const call of calls ?? []) {
    // A custom tool is none that the AI SDK could have asked for.
    if (!call.function) continue
    const { name: toolName, arguments: input } = call.function
    content.push({ type: 'tool-call', toolCallId: call.id, toolName, input, ...extraOf(call.extra_content) })
  }
  return content
}

/** What a provider wants to have back with a tool call (Gemini's thought signature): it goes along with it. */
export function extraOf(extra_content: unknown): { providerMetadata?: SharedV4ProviderMetadata } {
  if (typeof extra_content !== 'object' || extra_content === null) return {}
  return { providerMetadata: { holysheep: { extra_content: extra_content as JSONObject } } }
}
