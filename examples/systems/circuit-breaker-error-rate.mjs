// simulate: [{},{"status":500},{},{"status":500}]
import { HolySheepStreamingClient } from 'holysheep'

// Half of the calls fail. No two of them are consecutive, but the circuit opens.
const circuitBreaker = { errorRate: 0.5, windowMs: 30_000, minimumCalls: 4 }
const client = new HolySheepStreamingClient({ circuitBreaker, maxRetries: 0 })

for (let call = 1; call <= 5; call++) {
  const { success, error } = await client.streamWithRetry([{ role: 'user', content: 'Hi' }])
  console.log('call', call, success ? 'answered' : error.code)
}
