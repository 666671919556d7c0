import { RateLimitedClient } from 'holysheep'

const client = new RateLimitedClient(process.env.HOLYSHEEP_API_KEY, { capacity: 2, refillRate: 10 })
const messages = [{ role: 'user', content: 'Hi' }]
const started = Date.now()

await Promise.all(
  [1, 2, 3, 4].map(async (call) => {
    await client.chat({ messages })
    console.log('call', call, 'after about', Math.round((Date.now() - started) / 100) * 100, 'ms')
  }),
)
console.log('a token without waiting:', await client.acquireToken())
