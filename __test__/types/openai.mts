// OpenAI's types accept what the client returns, and the client accepts requests of OpenAI's types.
import { HolySheepStreamingClient } from 'holysheep'
import type OpenAI from 'openai'

const client = new HolySheepStreamingClient('sk-test')

export async function completion(): Promise<OpenAI.Chat.ChatCompletion> {
  return await client.chat({ messages: [{ role: 'user', content: 'x' }] })
}

export async function* chunks(): AsyncGenerator<OpenAI.Chat.ChatCompletionChunk> {
  for await (const chunk of client.stream({ messages: [] })) yield chunk
}

export async function requests(
  params: OpenAI.Chat.ChatCompletionCreateParams,
  streaming: OpenAI.Chat.ChatCompletionCreateParamsStreaming,
  messages: OpenAI.Chat.ChatCompletionMessageParam[],
) {
  await client.chat(params)
  await client.stream(streaming).text()
  const outcome = await client.streamWithRetry(messages, (content) => content.length)
  if (!outcome.success) throw outcome.error
  return outcome.attempts
}
