// Finish reasons that report an interruption by the provider, and errors of a choice.
import { describe, test } from 'node:test'
import { assertFailure, assertText, chunk } from './support/wire.mjs'

const REASONS = {
  error: 'OpenRouter, Mistral',
  abort: 'vLLM, SGLang',
  network_error: 'Zhipu',
  insufficient_system_resource: 'DeepSeek',
  MALFORMED_FUNCTION_CALL: 'Gemini behind a relay',
  server_error: 'a relay',
}

describe('a finish reason that reports an interruption is a break', () => {
  for (const [finishReason, provider] of Object.entries(REASONS)) {
    const broken = { chunks: ['Xin ch'], finishReason }
    test(`${finishReason} (${provider}) is continued`, (t) =>
      assertText(t, [broken, { chunks: ['Xin ch', 'ào'] }], 'Xin chào', { requests: 2 }))
    test(`${finishReason} (${provider}) is an error where nothing is continued`, (t) =>
      assertFailure(t, [broken], new RegExp(finishReason), { maxRetries: 0, recovery: false }))
  }
})

test('an error of a choice is an error (OpenRouter)', (t) => {
  const error = { code: 502, message: 'the upstream disconnected' }
  const choices = [{ index: 0, delta: { content: '' }, finish_reason: 'error', error }]
  const events = [chunk({ content: 'Xin ch' }), { ...chunk({}), choices }]
  return assertFailure(t, [{ events }], /the upstream disconnected/, { maxRetries: 0, recovery: false })
})

describe('a finish reason of a complete answer is not one of them', () => {
  for (const finishReason of ['length', 'content_filter', 'eos_token', 'STOP']) {
    test(finishReason, (t) => assertText(t, [{ text: 'Xin chào', finishReason }], 'Xin chào'))
  }
})
