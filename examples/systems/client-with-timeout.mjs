// simulate: [{"firstTokenDelayMs":300}]
import { createClientWithTimeout } from 'holysheep'

const client = createClientWithTimeout('long')
const completion = await client.chat({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Hi' }] })
console.log(completion.choices[0].message.content)
