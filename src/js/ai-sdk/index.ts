/** `holysheep/ai-sdk`: a provider for the AI SDK on the engine. */
import type { HolySheepProvider, HolySheepProviderOptions } from '../../../ai-sdk'
import { HolySheepStreamingClient } from '../client'
import { invalid, unknownOption } from '../errors'
import { nonEmpty, optionsObject } from '../options'
import { HolySheepLanguageModel } from './model'

export function createHolySheep(options?: HolySheepProviderOptions): HolySheepProvider {
  const {
    client: given,
    structuredOutputs = true,
    ...rest
  } = optionsObject('options', options) as HolySheepProviderOptions
  if (typeof structuredOutputs !== 'boolean') throw invalid('structuredOutputs', structuredOutputs, 'true or false')
  if (given !== undefined && !(given instanceof HolySheepStreamingClient)) {
    throw invalid('client', given, 'a HolySheepStreamingClient')
  }
  const [other] = Object.keys(rest)
  if (given && other !== undefined) throw unknownOption(other, 'client and structuredOutputs, where there is a client')
  const client = given ?? new HolySheepStreamingClient(rest)
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

/** The AI SDK's own error, known by its marks, without the package that it is from. */
function noSuchModel(modelId: string, modelType: string): never {
  const error = new Error(`No such ${modelType}: ${modelId} (holysheep/ai-sdk has language models)`)
  error.name = 'AI_NoSuchModelError'
  const marks = ['vercel.ai.error', 'vercel.ai.error.AI_NoSuchModelError'].map((mark) => [Symbol.for(mark), true])
  throw Object.assign(error, { modelId, modelType }, Object.fromEntries(marks))
}
