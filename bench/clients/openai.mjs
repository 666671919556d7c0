// OpenAI's SDK on Node's own fetch, which by default keeps connections alive and does not limit their number.
import OpenAI from 'openai'
import { MESSAGES, MODEL } from './request.mjs'

export function sdk({ url }) {
  const client = new OpenAI({ apiKey: 'bench', baseURL: url, maxRetries: 0 })
  const ask = (stream) => client.chat.completions.create({ model: MODEL, messages: MESSAGES, stream })
  return {
    async stream(onDelta) {
      for await (const chunk of await ask(true)) {
        const content = chunk.choices[0]?.delta.content
        if (content) onDelta(content)
      }
    },
    chat: async () => (await ask(false)).choices[0].message.content,
  }
}
