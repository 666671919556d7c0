// simulate: [{"status":503},{"status":429,"retryAfterMs":20}]
import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient({ retry: { baseDelayMs: 20 } })
for (let call = 0; call < 3; call++) await client.chat({ messages: [{ role: 'user', content: 'Hi' }] })
console.log(client.metrics())
console.log(client.metricsText().split('\n').slice(0, 4).join('\n'))
