// The program that is bundled.
const { HolySheepStreamingClient } = require('holysheep')
const { startSimulator } = require('holysheep/simulator')
const { createFetch } = require('holysheep/fetch')

async function main() {
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
}

main()
