// simulate: [{"status":503},{"status":503},{"status":503},{"status":503}]
import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient({ retry: { baseDelayMs: 400, jitter: 'none' } })
const started = Date.now()
const options = { totalTimeoutMs: 1000, maxRetries: 10 }
const error = await client.chat({ messages: [{ role: 'user', content: 'Hi' }] }, options).catch((thrown) => thrown)
console.log(error.code, 'after', error.attempts.length, 'attempts; in time:', Date.now() - started < 1500)
