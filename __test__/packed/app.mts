// Type-checked with the strictest settings, compiled and run.
import { APIError, type ClientOptions, HolySheepStreamingClient } from 'holysheep'
import { type Simulator, startSimulator } from 'holysheep/simulator'

const simulator: Simulator = await startSimulator({ answer: 'one two three four five' })
const options: ClientOptions = { baseUrl: simulator.url, maxRetries: 1 }
const client = new HolySheepStreamingClient('sk-packed', options)
const stream = client.stream({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Count.' }] })
let text = ''
for await (const delta of stream.textStream) text += delta
const wrong: boolean = (await stream.result) instanceof APIError
await simulator.close()
if (!wrong) console.log(text)
