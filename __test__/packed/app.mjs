// A streamed call against the simulator of the package.
import { HolySheepStreamingClient } from 'holysheep'
import { startSimulator } from 'holysheep/simulator'

const simulator = await startSimulator({ answer: 'one two three four five' })
const client = new HolySheepStreamingClient('sk-packed', { baseUrl: simulator.url })
let text = ''
await client.streamWithRetry([{ role: 'user', content: 'Count.' }], (chunk) => {
  text += chunk
})
await simulator.close()
console.log(text)
