// The types of the SDKs accept the fetch that `createFetch` returns.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { CircuitBreaker } from 'holysheep'
import { createFetch, type FetchOptions, type HolySheepFetch } from 'holysheep/fetch'
import OpenAI from 'openai'

const options: FetchOptions = {
  maxRetries: 2,
  endpoints: [{ name: 'spare', baseUrl: 'https://spare.example/v1', apiKey: 'sk-spare' }],
  fallbackModels: ['deepseek-v3.2'],
  circuitBreaker: new CircuitBreaker(),
  heartbeatMs: 0,
  fetch: globalThis.fetch,
}
const fetch: HolySheepFetch = createFetch(options)

export const openai = new OpenAI({ fetch, maxRetries: 0 })
export const compatible = createOpenAICompatible({ name: 'x', baseURL: 'https://x.example/v1', fetch })
export const standard: typeof globalThis.fetch = fetch
export const spentUsd = () => [...fetch.clients.values()].map((client) => client.cost().spentUsd)

// @ts-expect-error: the base URL is that of each request.
createFetch({ baseUrl: 'https://x.example/v1' })
