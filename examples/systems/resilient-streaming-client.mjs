// simulate: [{"disconnect":{"afterChunks":20,"how":"reset"}}]
import { ResilientStreamingClient } from 'holysheep'

const client = new ResilientStreamingClient(process.env.HOLYSHEEP_API_KEY)
const messages = [{ role: 'user', content: 'Viết một đoạn code hoàn chỉnh về quản lý state' }]

const { success, attempts } = await client.smartStreamWithRecovery('claude-sonnet-4.5', messages, {
  maxRetries: 5,
  timeout: 45_000,
  onProgress: (chunk) => process.stdout.write(chunk),
  onComplete: (response) => console.log(`\n--- Complete: ${response.length} characters ---`),
})
console.log({ success, attempts })
