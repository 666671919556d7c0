// simulate: [{"firstTokenDelayMs":5000}]
import { HolySheepStreamingClient } from 'holysheep'

const endpoints = [
  { name: 'primary', baseUrl: process.env.HOLYSHEEP_BASE_URL },
  { name: 'backup', baseUrl: process.env.HOLYSHEEP_BACKUP_URL },
]
const client = new HolySheepStreamingClient({ endpoints, hedge: { afterMs: 100 } })
const stream = client.stream({ messages: [{ role: 'user', content: 'Hi' }] })
await stream.text()
const { endpoint, attempts } = await stream.result
console.log(
  endpoint,
  attempts.map((attempt) => `${attempt.endpoint}: ${attempt.outcome}`),
)
