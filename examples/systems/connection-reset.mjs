// simulate: [{"disconnect":{"afterChunks":3,"how":"reset"}}]
import { HolySheepStreamingClient, handleConnectionReset } from 'holysheep'

const client = new HolySheepStreamingClient({ maxRetries: 0, recovery: false })
const request = { messages: [{ role: 'user', content: 'Hi' }], partialResponse: '' }
for (let attempt = 0; ; attempt++) {
  const { partialResponse, ...body } = request
  try {
    for await (const delta of client.stream(body).textStream) request.partialResponse += delta
    break
  } catch (error) {
    if (!(await handleConnectionReset(error, request, attempt, 3))) throw error
  }
}
console.log(request.partialResponse)
