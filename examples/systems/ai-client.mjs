// simulate: [{"status":429}]
import { HolySheepAIClient } from 'holysheep'

const endpoints = [process.env.HOLYSHEEP_BASE_URL, process.env.HOLYSHEEP_BACKUP_URL]
const client = new HolySheepAIClient(process.env.HOLYSHEEP_API_KEY, { maxAttempts: 3, retryDelay: 100, endpoints })
const messages = [
  { role: 'system', content: 'Bạn là trợ lý AI chuyên nghiệp.' },
  { role: 'user', content: 'So sánh 429 vs 500 error' },
]
const response = await client.chatCompletion('deepseek-v3.2', messages, { temperature: 0.7, maxTokens: 500 })
console.log('Response:', response.choices[0].message.content)
console.log('Metrics:', client.getMetrics())
