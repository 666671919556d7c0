/** `holysheep/ai-sdk`: a provider for the AI SDK that runs on the engine. */
import type { HolySheepProvider, HolySheepProviderOptions } from '../../../ai-sdk'
import { CLIENT, HolySheepStreamingClient } from '../client'
import { brandOf } from '../copies'
import { invalid, otherVersion, unknownOption } from '../errors'
import { isOurs } from '../native'
import { nonEmpty, optionsObject } from '../options'
import { HolySheepLanguageModel } from './model'

export function createHolySheep(options?: HolySheepProviderOptions): HolySheepProvider {
  const {
    client: existingClient,
    structuredOutputs = true,
    ...rest
  } = optionsObject('options', options) as HolySheepProviderOptions
  if (typeof structuredOutputs !== 'boolean') throw invalid('structuredOutputs', structuredOutputs, 'true or false')
  const brand = brandOf(existingClient)
  if (brand?.kind === CLIENT && !isOurs(brand)) throw otherVersion('client', brand)
  if (existingClient !== undefined && brand?.kind !== CLIENT) {
    throw invalid('client', existingClient, 'a HolySheepStreamingClient')
  }
  const [conflicting] = Object.keys(rest)
  if (existingClient && conflicting !== undefined)
    throw unknownOption(conflicting, 'only `client` and `structuredOutputs` when `client` is given')
  const client = (existingClient as HolySheepStreamingClient | undefined) ?? new HolySheepStreamingClient(rest)
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
