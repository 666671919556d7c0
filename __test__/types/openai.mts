// OpenAI's own types accept what the client gives, and the client accepts what is written for theirs.
import { HolySheepStreamingClient } from 'holysheep'
import type OpenAI from 'openai'

const client = new HolySheepStreamingClient('sk-test')

export async function given(): Promise<OpenAI.Chat.ChatCompletion> {
  return await client.chat({ messages: [{ role: 'user', content: 'x' }] })
}

export async function* chunks(): AsyncGenerator<OpenAI.Chat.ChatCompletionChunk> {
  for await (const chunk of client.stream({ messages: [] })) yield chunk
}

export async function taken(
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
