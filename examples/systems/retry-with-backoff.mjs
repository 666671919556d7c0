// simulate: [{"status":503}]
import { retryWithBackoff } from 'holysheep'

const headers = { authorization: `Bearer ${process.env.HOLYSHEEP_API_KEY}`, 'content-type': 'application/json' }
const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] })
const callLlm = async () => {
  const response = await fetch(`${process.env.HOLYSHEEP_BASE_URL}/chat/completions`, { method: 'POST', headers, body })
  if (!response.ok) throw Object.assign(new Error('rejected'), { status: response.status, headers: response.headers })
  return (await response.json()).choices[0].message.content
}
const onRetry = (attempt, error, ms) => console.log(`Attempt ${attempt}/5 failed: ${error.status}. ${ms.toFixed()} ms`)
console.log(await retryWithBackoff(callLlm, { maxAttempts: 5, baseDelay: 100, onRetry }))
