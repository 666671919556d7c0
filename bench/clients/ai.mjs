// Vercel's AI SDK with its provider for OpenAI-compatible APIs, on Node's own fetch.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, streamText } from 'ai'
import { MODEL, PROMPT } from './request.mjs'

export function sdk({ url }) {
  const model = createOpenAICompatible({ name: 'bench', baseURL: url, apiKey: 'bench' })(MODEL)
  return {
    async stream(onDelta) {
      const fail = ({ error }) => {
        throw error
      }
      for await (const delta of streamText({ model, prompt: PROMPT, maxRetries: 0, onError: fail }).textStream) {
        onDelta(delta)
      }
    },
    chat: async () => (await generateText({ model, prompt: PROMPT, maxRetries: 0 })).text,
  }
}
