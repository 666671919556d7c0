// A worker for the lifecycle tests: starts endless streams, or makes one call and prints the answer.
const { parentPort, workerData } = require('node:worker_threads')
const { HolySheepStreamingClient } = require('../../dist/index.js')

const { url, streams } = workerData
const client = new HolySheepStreamingClient('sk-test', { baseUrl: url })
const messages = [{ role: 'user', content: 'x' }]
for (let i = 0; i < streams; i++) client.streamWithRetry(messages, () => parentPort.postMessage('delta'))
if (streams === 0) client.chat({ messages }).then(({ choices }) => console.log(choices[0].message.content))
