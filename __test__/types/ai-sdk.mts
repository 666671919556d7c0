// The AI SDK's own types accept the provider that is made here.
import type { LanguageModelV4 } from '@ai-sdk/provider'
import { createProviderRegistry, streamText } from 'ai'
import { HolySheepStreamingClient } from 'holysheep'
import { createHolySheep, type HolySheepModelOptions } from 'holysheep/ai-sdk'

const holysheep = createHolySheep({ maxRetries: 2, fallbackModels: ['deepseek-v3.2'], structuredOutputs: false })
const own: HolySheepModelOptions = { call: { tenant: 'user-42' } }

export const model: LanguageModelV4 = holysheep('gpt-4.1')
export const registry = createProviderRegistry({ holysheep })
export const stream = streamText({
  model: holysheep.chatModel('gpt-4.1'),
  prompt: 'x',
  providerOptions: { holysheep: { call: { tenant: 'user-42', toolCalls: 'stream' }, body: { user: 'u' } } },
})
export const shared = createHolySheep({ client: new HolySheepStreamingClient() }).client.metrics().successes
export { own }

// @ts-expect-error: a model is named when it is asked for.
createHolySheep({ model: 'gpt-4.1' })
