// simulate: [{"status":429,"retryAfter":1},{"status":503,"retryAfterMs":200}]
import { HolySheepStreamingClient } from 'holysheep'

const onEvent = (event) => event.type === 'wait' && console.log('waits', event.ms, 'ms:', event.reason)
const client = new HolySheepStreamingClient({ retry: { baseDelayMs: 1 }, onEvent })
console.log(await client.stream({ messages: [{ role: 'user', content: 'Hi' }] }).text())
