// simulate: [{"status":500},{"status":500}]
import { CircuitBreaker, HolySheepStreamingClient } from 'holysheep'

const breaker = new CircuitBreaker(2, 500)
breaker.onStateChange = ({ from, to }) => console.log(from, '→', to)
const client = new HolySheepStreamingClient({ circuitBreaker: breaker, maxRetries: 0 })
const messages = [{ role: 'user', content: 'Hi' }]

for (let call = 1; call <= 4; call++) {
  const { success, error } = await client.streamWithRetry(messages)
  console.log('call', call, success ? 'answered' : error.code, breaker.state)
  if (call === 3) await client.sleep(500)
}
