/** The options of a call as the AI SDK gives them, as a chat request and options of the client. */
import type { LanguageModelV4CallOptions, SharedV4Warning } from '@ai-sdk/provider'
import type { HolySheepModelOptions } from '../../../ai-sdk'
import type { CallOptions, ChatRequest } from '../../../index'
import { checkKnownOptions, optionsObject } from '../options'
import { messagesOf } from './prompt'

export interface Asked {
  request: ChatRequest
  options: CallOptions
  warnings: SharedV4Warning[]
}

export function askedOf(modelId: string, given: LanguageModelV4CallOptions, structuredOutputs: boolean): Asked {
  const warnings: SharedV4Warning[] = []
  const { call, body } = ownOptions(given)
  if (given.topK !== undefined) warnings.push({ type: 'unsupported', feature: 'topK' })
  const request = {
    model: modelId,
    messages: messagesOf(given.prompt),
    max_tokens: given.maxOutputTokens,
    temperature: given.temperature,
    top_p: given.topP,
    presence_penalty: given.presencePenalty,
    frequency_penalty: given.frequencyPenalty,
    stop: given.stopSequences,
    seed: given.seed,
    response_format: responseFormat(given, structuredOutputs, warnings),
    reasoning_effort: given.reasoning === 'provider-default' ? undefined : given.reasoning,
    ...toolsOf(given, warnings),
    ...body,
  } as ChatRequest
  const headers = Object.entries(given.headers ?? {}).filter(([, value]) => value !== undefined)
  const options: CallOptions = {
    ...call,
    headers: { ...(Object.fromEntries(headers) as Record<string, string>), ...call?.headers },
    ...(given.abortSignal && { signal: given.abortSignal }),
  }
  return { request, options, warnings }
}

function ownOptions({ providerOptions }: LanguageModelV4CallOptions): HolySheepModelOptions {
  const own = optionsObject('providerOptions.holysheep', providerOptions?.holysheep)
  checkKnownOptions(own, ['call', 'body'])
  return own as HolySheepModelOptions
}

function responseFormat(
  { responseFormat: format }: LanguageModelV4CallOptions,
  structuredOutputs: boolean,
  warnings: SharedV4Warning[],
): unknown {
  if (format?.type !== 'json') return undefined
  if (format.schema !== undefined && structuredOutputs) {
    const { schema, name = 'response', description } = format
    return { type: 'json_schema', json_schema: { name, description, schema, strict: true } }
  }
  if (format.schema !== undefined) {
    const details = 'structuredOutputs is off: JSON is asked for without its schema'
    warnings.push({ type: 'unsupported', feature: 'responseFormat', details })
  }
  return { type: 'json_object' }
}

function toolsOf({ tools = [], toolChoice }: LanguageModelV4CallOptions, warnings: SharedV4Warning[]): object {
  const functions = tools.flatMap((tool) => {
    if (tool.type === 'function') {
      const { name, description, inputSchema: parameters, strict } = tool
      return [{ type: 'function', function: { name, description, parameters, strict } }]
    }
    warnings.push({ type: 'unsupported', feature: `provider-defined tool ${tool.id}` })
    return []
  })
  if (functions.length === 0) return {}
  const named = toolChoice?.type === 'tool' && { type: 'function', function: { name: toolChoice.toolName } }
  return { tools: functions, tool_choice: named || toolChoice?.type }
}
