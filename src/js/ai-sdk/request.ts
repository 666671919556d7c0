/** Converts the AI SDK's call options to a chat request and call options of the client. */
import type { LanguageModelV4CallOptions, SharedV4Warning } from '@ai-sdk/provider'
import type { HolySheepModelOptions } from '../../../ai-sdk'
import type { CallOptions, ChatRequest } from '../../../index'
import { checkKnownOptions, optionsObject } from '../options'
import { bare, own } from '../own'
import { messagesOf } from './prompt'

export interface PreparedCall {
  request: ChatRequest
  options: CallOptions
  warnings: SharedV4Warning[]
}

export function prepareCall(
  modelId: string,
  given: LanguageModelV4CallOptions,
  structuredOutputs: boolean,
): PreparedCall {
  const callOptions = bare({ ...given })
  const warnings: SharedV4Warning[] = []
  const { call, body } = modelOptions(callOptions)
  if (callOptions.topK !== undefined) warnings.push({ type: 'unsupported', feature: 'topK' })
  const request = {
    model: modelId,
    messages: messagesOf(callOptions.prompt),
    max_tokens: callOptions.maxOutputTokens,
    temperature: callOptions.temperature,
    top_p: callOptions.topP,
    presence_penalty: callOptions.presencePenalty,
    frequency_penalty: callOptions.frequencyPenalty,
    stop: callOptions.stopSequences,
    seed: callOptions.seed,
    response_format: responseFormat(callOptions, structuredOutputs, warnings),
    reasoning_effort: callOptions.reasoning === 'provider-default' ? undefined : callOptions.reasoning,
    ...toolsOf(callOptions, warnings),
    ...body,
  } as ChatRequest
  const headers = Object.entries(callOptions.headers ?? {}).filter(([, value]) => value !== undefined)
  const options: CallOptions = {
    ...call,
    headers: { ...(Object.fromEntries(headers) as Record<string, string>), ...call?.headers },
    ...(callOptions.abortSignal && { signal: callOptions.abortSignal }),
  }
  return { request, options, warnings }
}

function modelOptions({ providerOptions }: LanguageModelV4CallOptions): HolySheepModelOptions {
  const checked = optionsObject('providerOptions.holysheep', own(providerOptions, 'holysheep'))
  checkKnownOptions(checked, ['call', 'body'])
  return checked as HolySheepModelOptions
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
    const details = 'structuredOutputs is off, so JSON is requested without the schema'
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
