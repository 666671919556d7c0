// simulate: [{"status":503}]
import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient({ retry: { baseDelayMs: 50 } })
const request = { messages: [{ role: 'user', content: 'Hi' }] }
// Both attempts send this key; without the option each call generates a key.
const stream = client.stream(request, { idempotencyKey: 'order-4711' })
await stream.text()
console.log((await stream.result).attempts.map(({ attempt, outcome }) => `${attempt}: ${outcome}`))
