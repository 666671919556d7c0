// What the calls in this folder share: requests, what they send, and clients with short waits.
import { KEY } from './classes.mjs'
import { ANSWER } from './provider.mjs'

export const MESSAGES = [{ role: 'user', content: 'Cửa hàng mở cửa mấy giờ?' }]
export const REQUEST = { model: 'gpt-4.1', messages: MESSAGES }
export const COMPLETION = { choices: [{ message: { role: 'assistant', content: ANSWER } }] }
/** What tutorial 002 sends. */
export const HEADERS = {
  'content-type': 'application/json',
  authorization: `Bearer ${KEY}`,
  'content-length': /^\d+$/,
}
export const SENT = { method: 'POST', path: '/v1/chat/completions', headers: HEADERS }
/** The request defaults of tutorial 003. */
export const SENT_003 = { ...SENT, body: { model: 'gpt-4.1', messages: MESSAGES, temperature: 0.7, max_tokens: 500 } }
export const fail = (status, headers) => ({ status, headers })

export const streaming = (H, url) => Object.assign(new H.HolySheepStreamingClient(KEY), { baseUrl: url, baseDelay: 0 })
export const resilient = (H, url) => Object.assign(new H.ResilientStreamingClient(KEY), { baseUrl: url, baseDelay: 0 })
export const manager = (H, url) => new H.HolySheepRetryManager(KEY, { baseUrl: url })
export const tiers = (H, url, options) =>
  new H.TimeoutAIManager(KEY, { baseUrl: url, connectTimeoutMs: 10_000, ...options })
export const retries = (H, url, config) => new H.RetryAIManager(KEY, { baseDelay: 0, ...config }, { baseUrl: url })
export const degrades = (H, url, chain) => new H.ModelDegradationManager(KEY, chain, { baseUrl: url })
export const fallback = (H, url, options) =>
  new H.HolySheepAIClient(KEY, { endpoints: [url], retryDelay: 0, ...options })
export const collect = async (results) => {
  const all = []
  for await (const result of results) all.push(result)
  return all
}
