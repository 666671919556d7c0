/** The model catalogue, and the complexity of a request. */
import type { ChatRequest, Complexity, ModelInfo } from '../../index'
import { invalid, native } from './errors'
import { addon } from './native'
import { stringify } from './own'

export function catalogue(): Record<string, ModelInfo> {
  return JSON.parse(addon.catalogue())
}

export function classifyComplexity(messages: ChatRequest['messages']): Complexity {
  if (!Array.isArray(messages)) throw invalid('messages', messages, 'an array of messages')
  return native(() => addon.classifyComplexity(stringify(messages) as string)) as Complexity
}
