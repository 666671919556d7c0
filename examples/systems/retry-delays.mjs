// simulate: [{"status":429,"retryAfterMs":150},{"status":429}]
import { HolySheepStreamingClient } from 'holysheep'

// The HolySheep tutorial uses 1, 2 and 4 s. The server's `Retry-After` is a lower bound.
const retry = { backoff: [100, 200, 400], jitter: 'none' }
const onEvent = (event) => event.type === 'wait' && console.log('waits', event.ms, 'ms:', event.reason)
const client = new HolySheepStreamingClient({ retry, onEvent, maxRetries: 3 })
console.log(await client.stream({ messages: [{ role: 'user', content: 'Hi' }] }).text())
