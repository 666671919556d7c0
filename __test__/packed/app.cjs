// A streamed call with a retry and a reset in mid-stream, against the simulator of the package.
const { HolySheepStreamingClient } = require('holysheep')
const { startSimulator } = require('holysheep/simulator')

async function main() {
  const simulator = await startSimulator({ answer: 'one two three four five' })
  simulator.script({ status: 503 }, { disconnect: { afterChunks: 3, how: 'reset' } })
  const client = new HolySheepStreamingClient('sk-packed', { baseUrl: simulator.url, retry: { baseDelayMs: 1 } })
  let text = ''
  const stream = client.stream({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Count.' }] })
  for await (const delta of stream.textStream) text += delta
  await simulator.close()
  console.log(text)
}

module.exports = main()
