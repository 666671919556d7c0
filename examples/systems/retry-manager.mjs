// simulate: [{"status":500},{"connectReset":true}]
import { HolySheepRetryManager } from 'holysheep'

const manager = new HolySheepRetryManager(process.env.HOLYSHEEP_API_KEY)
const request = { model: 'gpt-4.1', messages: [{ role: 'user', content: 'Test' }] }

const result = await manager.executeWithRetry(request, {
  maxRetries: 3,
  baseDelay: 100,
  onRetry: (attempt, error, delay) => console.log(`Retry #${attempt} after ${delay}ms: ${error.message}`),
  onCircuitOpen: () => console.log('Circuit breaker triggered - backing off'),
})
console.log('Result:', result.choices[0].message.content)
