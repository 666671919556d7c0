/** The callbacks of the `cost` option, which stay in JavaScript. */
import type { ChatRequest, ClientEvent, CostOptions } from '../../index'
import { invalid } from './errors'
import { callback } from './options'
import { bare, stringify } from './own'

export type SoftLimitEvent = Extract<ClientEvent, { type: 'soft-limit' }>

type CostCallbacks = Pick<CostOptions, 'countTokens' | 'onSoftLimit'>

/** Separates the callbacks of `cost` from the options that go to Rust. */
export function splitCost<T extends { cost?: unknown }>(options: T): { callbacks: CostCallbacks; rest: T } {
  const { cost } = options
  if (typeof cost !== 'object' || cost === null || Array.isArray(cost)) return { callbacks: bare({}), rest: options }
  const { countTokens, onSoftLimit, ...others } = cost as CostOptions
  const callbacks = {
    countTokens: callback('cost.countTokens', countTokens),
    onSoftLimit: callback('cost.onSoftLimit', onSoftLimit),
  }
  return { callbacks, rest: bare({ ...options, cost: bare(others) }) }
}

/**
 * Counts the tokens of a request's text for each model that it may reach, with the caller's function. None if the request is
 * invalid: Rust rejects it, with a better message.
 */
export function countPrompt(
  countTokens: (model: string, text: string) => number,
  body: string,
  defaultModel: string,
  fallbackModels: string[],
): Record<string, number> | undefined {
  const request = bare(JSON.parse(body) as ChatRequest)
  if (!Array.isArray(request.messages) || !Array.isArray(fallbackModels)) return undefined
  const text = promptText(request)
  const counts: Record<string, number> = {}
  for (const model of [request.model ?? defaultModel, ...fallbackModels]) {
    const count = countTokens(model, text)
    if (typeof count !== 'number' || !(count >= 0) || count > Number.MAX_SAFE_INTEGER) {
      throw invalid('cost.countTokens', count, 'a function that returns a number of tokens from 0')
    }
    counts[model] = Math.ceil(count)
  }
  return counts
}

/** The text of a request that a model reads: message contents, tool calls and tool definitions. */
function promptText(request: ChatRequest): string {
  const texts: unknown[] = []
  for (const message of request.messages as Array<Record<string, unknown> | null>) {
    const { content, name, tool_calls: calls } = bare({ ...message }) as Record<string, unknown>
    if (Array.isArray(content)) texts.push(...content.map((part) => part?.text ?? part?.refusal))
    else texts.push(content)
    texts.push(name)
    if (calls !== undefined) texts.push(stringify(calls) as string)
  }
  const { tools, functions, response_format } = bare({ ...request })
  for (const field of [tools, functions, response_format]) {
    if (field) texts.push(stringify(field) as string)
  }
  return texts.filter((text) => typeof text === 'string' && text !== '').join('\n')
}
