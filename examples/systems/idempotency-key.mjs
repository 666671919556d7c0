// simulate: [{"status":503}]
import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient({ retry: { baseDelayMs: 50 } })
const request = { messages: [{ role: 'user', content: 'Hi' }] }
// The same key on both attempts; without it each call makes one of its own.
const stream = client.stream(request, { idempotencyKey: 'order-4711' })
await stream.text()
console.log((await stream.result).attempts.map(({ attempt, outcome }) => `${attempt}: ${outcome}`))
