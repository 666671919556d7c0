/**
 * A provider for the AI SDK (`ai` 7) on the engine: `streamText`, `generateText`, tools, structured output and `useChat`
 * with retries, limits, breakers, fallbacks, stage timeouts and mid-stream recovery. See docs/sdks.md.
 */
import type { LanguageModelV4, ProviderV4 } from '@ai-sdk/provider'
import type { CallOptions, ClientOptions, HolySheepStreamingClient } from './index'

/** The options of a client, or a client that is there already. */
export interface HolySheepProviderOptions extends Omit<ClientOptions, 'model' | 'signal' | 'coalesce'> {
  /** Whose breakers, limits and counters are used; without it a client is made of the other options. */
  client?: HolySheepStreamingClient
  /**
   * Whether a schema is sent with `response_format`. `false`, for a provider that does not know it: any JSON is asked
   * for. On unless set.
   */
  structuredOutputs?: boolean
}

/** `providerOptions.holysheep` of a call. */
export interface HolySheepModelOptions {
  /** Options of the call: `{ totalTimeoutMs: 30_000, budgetKey: 'user-42', toolCalls: 'stream' }`. */
  call?: Omit<CallOptions, 'signal' | 'coalesce'>
  /** Fields of the request's body, over those that the AI SDK's settings make: `{ user: 'user-42' }`. */
  body?: Record<string, unknown>
}

/**
 * Makes language models. What a call throws, or an `error` part tells, is the typed error itself (`RateLimitError`,
 * `CostCapError`, `StreamInterruptedError` …), which the AI SDK does not retry: `maxRetries` of the AI SDK need not be
 * set. `providerMetadata.holysheep` of an answer says `endpoint`, `model`, `requestId`, `sessionId`, `attempts` and
 * `costUsd`.
 */
export interface HolySheepProvider extends ProviderV4 {
  (modelId: string): LanguageModelV4
  languageModel(modelId: string): LanguageModelV4
  chatModel(modelId: string): LanguageModelV4
  /** Whose engine the models run on: `metrics()`, `cost()`, `close()`. */
  readonly client: HolySheepStreamingClient
}

export function createHolySheep(options?: HolySheepProviderOptions): HolySheepProvider
