// The package in a strict project that checks the declarations of its dependencies with no library newer than
// ES2022: with Node's types under nodenext, with the DOM's alone under bundler.
import { type HolySheepStreamingClient, RateLimitedClient, ResilientStreamingClient, TimeoutError } from 'holysheep'
import { startSimulator } from 'holysheep/simulator'

export async function consumer(): Promise<string> {
  const simulator = await startSimulator()
  const client: HolySheepStreamingClient = new RateLimitedClient('sk-key', { baseUrl: simulator.url, capacity: 3 })
  let text = ''
  try {
    for await (const chunk of client.stream({ messages: [{ role: 'user', content: 'hi' }] })) {
      text += chunk.choices[0]?.delta.content ?? ''
    }
  } catch (error) {
    if (error instanceof TimeoutError && error.phase === 'first-token') return error.partial ?? ''
    throw error
  }
  await new ResilientStreamingClient('sk-key', { maxRetries: 1 }).close()
  return text
}
