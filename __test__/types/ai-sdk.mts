// The types of the AI SDK accept the provider that `createHolySheep` returns.
import type { LanguageModelV4 } from '@ai-sdk/provider'
import { createProviderRegistry, streamText } from 'ai'
import { HolySheepStreamingClient } from 'holysheep'
import { createHolySheep, type HolySheepModelOptions } from 'holysheep/ai-sdk'

const holysheep = createHolySheep({ maxRetries: 2, fallbackModels: ['deepseek-v3.2'], structuredOutputs: false })
const options: HolySheepModelOptions = { call: { tenant: 'user-42' } }

export const model: LanguageModelV4 = holysheep('gpt-4.1')
export const registry = createProviderRegistry({ holysheep })
export const stream = streamText({
  model: holysheep.chatModel('gpt-4.1'),
  prompt: 'x',
  providerOptions: { holysheep: { call: { tenant: 'user-42', toolCalls: 'stream' }, body: { user: 'u' } } },
})
export const shared = createHolySheep({ client: new HolySheepStreamingClient() }).client.metrics().successes
export { options }

// @ts-expect-error: the model is chosen when it is created.
createHolySheep({ model: 'gpt-4.1' })
