/** Converts answers of the engine to the AI SDK's types. */
import type {
  JSONObject,
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4ResponseMetadata,
  LanguageModelV4Usage,
  SharedV4ProviderMetadata,
} from '@ai-sdk/provider'
import type { AttemptRecord, ChatCompletion } from '../../../index'
import { bare } from '../own'

const REASONS: Record<string, LanguageModelV4FinishReason['unified']> = {
  stop: 'stop',
  length: 'length',
  content_filter: 'content-filter',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls',
}

/** A refusal is text in the AI SDK, with the reason `content-filter`. */
export function finishReasonOf(raw: string | null | undefined, refused: boolean): LanguageModelV4FinishReason {
  if (refused) return { unified: 'content-filter', raw: raw ?? undefined }
  return { unified: REASONS[raw ?? ''] ?? 'other', raw: raw ?? undefined }
}

interface ChatUsage {
  prompt_tokens?: number
  completion_tokens?: number
  prompt_tokens_details?: { cached_tokens?: number } | null
  completion_tokens_details?: { reasoning_tokens?: number } | null
}

export function usageOf(raw: unknown): LanguageModelV4Usage {
  const usage = (raw ?? {}) as ChatUsage
  const { prompt_tokens: input, completion_tokens: output } = usage
  const cached = usage.prompt_tokens_details?.cached_tokens
  const reasoning = usage.completion_tokens_details?.reasoning_tokens
  const without = (total: number | undefined, part = 0) => (total === undefined ? undefined : Math.max(0, total - part))
  return {
    inputTokens: { total: input, noCache: without(input, cached), cacheRead: cached, cacheWrite: undefined },
    outputTokens: { total: output, text: without(output, reasoning), reasoning },
    ...(raw !== null && raw !== undefined && { raw: raw as NonNullable<LanguageModelV4Usage['raw']> }),
  }
}

/** The metadata of a call, in `providerMetadata.holysheep`. */
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

export function responseOf(completion: {
  id?: string
  created?: number
  model?: string
}): LanguageModelV4ResponseMetadata {
  return {
    ...(completion.id && { id: completion.id }),
    ...(completion.model && { modelId: completion.model }),
    ...(completion.created && { timestamp: new Date(completion.created * 1000) }),
  }
}

export function contentOf(message: ChatCompletion['choices'][number]['message']): LanguageModelV4Content[] {
  const content: LanguageModelV4Content[] = []
  const {
    reasoning_content: reasoning,
    tool_calls: calls,
    function_call,
  } = bare({ ...message }) as typeof message & {
    reasoning_content?: string
    function_call?: { name: string; arguments: string } | null
  }
  if (reasoning) content.push({ type: 'reasoning', text: reasoning })
  const { content: words, refusal } = bare({ ...message })
  const text = `${words ?? ''}${refusal ?? ''}`
  if (text !== '') content.push({ type: 'text', text })
  for (const [position, call] of (calls ?? []).entries()) {
    // The AI SDK cannot request custom tools, so their calls are skipped.
    if (!call.function) continue
    const { name: toolName, arguments: input } = call.function
    const toolCallId = call.id || `call_${position}`
    content.push({ type: 'tool-call', toolCallId, toolName, input, ...extraOf(call.extra_content) })
  }
  if (function_call) {
    const { name: toolName, arguments: input } = function_call
    content.push({ type: 'tool-call', toolCallId: 'call_0', toolName, input: input || '{}' })
  }
  return content
}

/** The data that a provider needs back with a tool call, such as Gemini's thought signature. */
export function extraOf(extra_content: unknown): { providerMetadata?: SharedV4ProviderMetadata } {
  if (typeof extra_content !== 'object' || extra_content === null) return {}
  return { providerMetadata: { holysheep: { extra_content: extra_content as JSONObject } } }
}
