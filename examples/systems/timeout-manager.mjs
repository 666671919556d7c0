// simulate: [{"hang":true}]
import { TimeoutAIManager } from 'holysheep'

const manager = new TimeoutAIManager(process.env.HOLYSHEEP_API_KEY, { fallbackModels: ['deepseek-v3.2'] })
const messages = [{ role: 'user', content: 'Giờ mở cửa của cửa hàng?' }]

const { success, timeoutTier, modelUsed, fallbackTriggered } = await manager.callWithTimeout(messages, 'faq')
console.log({ success, timeoutTier, modelUsed, fallbackTriggered })
console.log('Stats:', manager.getTimeoutStats())
