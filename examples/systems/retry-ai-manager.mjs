// simulate: [{"status":500},{"status":503}]
import { RetryAIManager, RetryConfig } from 'holysheep'

const config = new RetryConfig({ maxRetries: 3, baseDelay: 100, maxDelay: 15_000, jitter: true })
const manager = new RetryAIManager(process.env.HOLYSHEEP_API_KEY, config)
const messages = [{ role: 'user', content: 'Tư vấn gói cước Internet cho gia đình 4 người' }]

const result = await manager.callWithRetry(messages, 'gpt-4.1', ['gemini-2.5-flash', 'deepseek-v3.2'])
console.log('Result:', result.success, result.modelUsed)
console.log('Stats:', manager.getRetryStats())
