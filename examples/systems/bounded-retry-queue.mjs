// simulate: [{"status":429,"retryAfterMs":200}]
import { BoundedRetryQueue } from 'holysheep'

const queue = new BoundedRetryQueue({ maxAttempts: 3, maxSize: 1000, concurrency: 1 })
for (const name of ['a', 'b', 'c']) await queue.addTask(`task-${name}`, `Prompt ${name}`)

for await (const { taskId, response, error } of queue.processWithRetry()) {
  console.log(taskId, response?.slice(0, 30) ?? error)
}
