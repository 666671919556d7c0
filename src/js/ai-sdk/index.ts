/** `holysheep/ai-sdk`: a provider for the AI SDK that runs on the engine. */
import type { HolySheepProvider, HolySheepProviderOptions } from '../../../ai-sdk'
import { HolySheepStreamingClient } from '../client'
import { invalid, unknownOption } from '../errors'
import { nonEmpty, optionsObject } from '../options'
import { HolySheepLanguageModel } from './model'

export function createHolySheep(options?: HolySheepProviderOptions): HolySheepProvider {
  const {
    client: existingClient,
    structuredOutputs = true,
    ...rest
  } = optionsObject('options', options) as HolySheepProviderOptions
  if (typeof structuredOutputs !== 'boolean') throw invalid('structuredOutputs', structuredOutputs, 'true or false')
  if (existingClient !== undefined && !(existingClient instanceof HolySheepStreamingClient)) {
    throw invalid('client', existingClient, 'a HolySheepStreamingClient')
  }
  const [conflicting] = Object.keys(rest)
  if (existingClient && conflicting !== undefined)
    throw unknownOption(conflicting, 'only `client` and `structuredOutputs` when `client` is given')
  const client = existingClient ?? new HolySheepStreamingClient(rest)
  const model = (modelId: string) =>
    new HolySheepLanguageModel(
      nonEmpty('modelId', modelId, 'the name of a model'),
      'holysheep.chat',
      client,
      structuredOutputs,
    )
  return Object.assign((modelId: string) => model(modelId), {
    specificationVersion: 'v4' as const,
    client,
    languageModel: model,
    chatModel: model,
    embeddingModel: (modelId: string) => noSuchModel(modelId, 'embeddingModel'),
    imageModel: (modelId: string) => noSuchModel(modelId, 'imageModel'),
  })
}

/** The AI SDK's error, which it recognizes by symbols, without a dependency on its package. */
function noSuchModel(modelId: string, modelType: string): never {
  const error = new Error(`No such ${modelType}: ${modelId} (holysheep/ai-sdk provides language models only)`)
  error.name = 'AI_NoSuchModelError'
  const markers = ['vercel.ai.error', 'vercel.ai.error.AI_NoSuchModelError'].map((marker) => [Symbol.for(marker), true])
  throw Object.assign(error, { modelId, modelType }, Object.fromEntries(markers))
}
