// The same program as app.mts for CommonJS.
import holysheep = require('holysheep')
import simulators = require('holysheep/simulator')

async function main(): Promise<void> {
  const simulator = await simulators.startSimulator({ answer: 'one two three four five' })
  const client = new holysheep.HolySheepStreamingClient('sk-packed', { baseUrl: simulator.url })
  const stream: holysheep.ChatStream = client.stream({
    model: 'gpt-4.1',
    messages: [{ role: 'user', content: 'Count.' }],
  })
  const text: string = await stream.text()
  await simulator.close()
  console.log(text)
}

main()
