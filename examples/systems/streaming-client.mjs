// simulate: [{"status":503},{"status":429,"retryAfterMs":100}]
import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient(process.env.HOLYSHEEP_API_KEY, 3)
const messages = [{ role: 'user', content: 'Giải thích về retry logic' }]

const outcome = await client.streamWithRetry(
  messages,
  (chunk) => process.stdout.write(chunk),
  (error) => console.error('Final error:', error),
)
console.log('\n', outcome)
