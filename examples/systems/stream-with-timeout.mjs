// simulate: [{"disconnect":{"afterChunks":3,"how":"stall"}}]
import { streamWithTimeout } from 'holysheep'

const messages = [{ role: 'user', content: 'Hi' }]
const url = `${process.env.HOLYSHEEP_BASE_URL}/chat/completions`
const headers = { authorization: `Bearer ${process.env.HOLYSHEEP_API_KEY}`, 'content-type': 'application/json' }
const body = JSON.stringify({ model: 'gpt-4.1', messages, stream: true })
try {
  const response = await streamWithTimeout(url, { method: 'POST', headers, body }, 500)
  console.log(await response.text())
} catch (error) {
  console.log(error.code, 'after', error.partialData.length, 'characters')
}
