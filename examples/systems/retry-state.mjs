// simulate: [{"status":503},{"status":503}]
import { HolySheepStreamingClient } from 'holysheep'

// A body of 8 MB, encoded once and shared by the attempts.
const url = `data:image/png;base64,${'A'.repeat(8 * 1024 * 1024)}`
const content = [{ type: 'image_url', image_url: { url } }]
const client = new HolySheepStreamingClient({ maxRetries: 3, retry: { baseDelayMs: 50 } })
const { success, attempts } = await client.streamWithRetry([{ role: 'user', content }])
console.log({ success, attempts }, Math.round(process.memoryUsage().rss / 2 ** 20), 'MiB')
