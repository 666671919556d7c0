// liter-llm: a Rust core with an async iterator of chunk objects.
import literLlm from '@xberg-io/liter-llm'
import { MESSAGES, MODEL } from './request.mjs'

export function native({ url }) {
  const client = literLlm.createClient('bench', url, undefined, 0)
  const request = { model: `openai/${MODEL}`, messages: MESSAGES }
  return {
    async stream(onDelta) {
      for await (const chunk of await client.chatStream(request)) {
        const content = chunk.choices?.[0]?.delta?.content
        if (content) onDelta(content)
      }
    },
    chat: async () => (await client.chat(request)).choices[0].message.content,
  }
}
