// simulate: [{"status":503},{"status":503},{"status":503},{"status":503},{"status":503}]
import { HolySheepStreamingClient } from 'holysheep'

const retryBudget = { ratio: 0.2, minPerSecond: 1, windowMs: 2000 }
const client = new HolySheepStreamingClient({ maxRetries: 4, retryBudget, retry: { baseDelayMs: 10 } })
const request = { messages: [{ role: 'user', content: 'Hi' }] }
// This user has two retries in two seconds, plus a fifth of a retry for each call.
const error = await client.chat(request, { tenant: 'user-42' }).catch((thrown) => thrown)
console.log(error.code, 'after', error.attempts.length, 'attempts:', error.message)
