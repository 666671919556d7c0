// simulate: [{"status":503},{"status":404}]
import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient({ maxRetries: 0, fallbackModels: ['claude-sonnet-4.5', 'deepseek-v3.2'] })
const stream = client.stream({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Hi' }] })
await stream.text()
const { model, attempts } = await stream.result
console.log(
  'answered by',
  model,
  attempts.map((attempt) => `${attempt.model}: ${attempt.outcome}`),
)
