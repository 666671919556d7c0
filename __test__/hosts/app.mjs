// The program that is bundled.
import { HolySheepStreamingClient } from 'holysheep'
import { createFetch } from 'holysheep/fetch'
import { startSimulator } from 'holysheep/simulator'

const simulator = await startSimulator({ answer: 'one two' })
const client = new HolySheepStreamingClient('k', { baseUrl: simulator.url })
const messages = [{ role: 'user', content: 'Hi' }]
const fetch = createFetch()
const response = await fetch(`${simulator.url}/v1/chat/completions`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', authorization: 'Bearer k' },
  body: JSON.stringify({ model: 'm', messages }),
})
console.log(await client.stream({ messages }).text(), (await response.json()).choices[0].message.content)
await Promise.all([client.close(), fetch.close(), simulator.close()])
