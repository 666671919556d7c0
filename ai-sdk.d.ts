/**
 * A provider for the AI SDK (`ai` 7): `streamText`, `generateText`, tools, structured output and `useChat`
 * with retries, limits, breakers, fallbacks, stage timeouts and mid-stream recovery. See docs/sdks.md.
 */
import type { LanguageModelV4, ProviderV4 } from '@ai-sdk/provider'
import type { CallOptions, ClientOptions, HolySheepStreamingClient } from './index'

/** Client options, or an existing client. */
export interface HolySheepProviderOptions extends Omit<ClientOptions, 'model' | 'signal' | 'coalesce'> {
  /** An existing client, whose breakers, limits and metrics are shared. By default one is created from the other options. */
  client?: HolySheepStreamingClient
  /**
   * Whether `response_format` contains the schema. `false`, for a provider that does not support it, requests any JSON.
   * @default true
   */
  structuredOutputs?: boolean
}

/** `providerOptions.holysheep` of a call. */
export interface HolySheepModelOptions {
  /** Call options, for example `{ totalTimeoutMs: 30_000, tenant: 'user-42', toolCalls: 'stream' }`. */
  call?: Omit<CallOptions, 'signal' | 'coalesce'>
  /** Fields of the request body, merged over those of the AI SDK's settings, for example `{ user: 'user-42' }`. */
  body?: Record<string, unknown>
}

/**
 * Creates language models. Calls throw, and `error` parts contain, the typed errors themselves (`RateLimitError`,
 * `CostCapError`, `StreamInterruptedError` …), which the AI SDK does not retry: its `maxRetries` need not be set.
 * `providerMetadata.holysheep` of an answer has `endpoint`, `model`, `requestId`, `sessionId`, `attempts` and `costUsd`.
 */
export interface HolySheepProvider extends ProviderV4 {
  (modelId: string): LanguageModelV4
  languageModel(modelId: string): LanguageModelV4
  chatModel(modelId: string): LanguageModelV4
  /** The client that the models use: `metrics()`, `cost()`, `close()`. */
  readonly client: HolySheepStreamingClient
}

export function createHolySheep(options?: HolySheepProviderOptions): HolySheepProvider
