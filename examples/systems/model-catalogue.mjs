import { catalogue, HolySheepStreamingClient } from 'holysheep'

console.log(catalogue()['gpt-4.1'])
const client = new HolySheepStreamingClient({ validateModel: true })
const request = { model: 'gpt-4.l', messages: [{ role: 'user', content: 'Hi' }] }
const error = await client.chat(request).catch((thrown) => thrown)
console.log(error.code, error.message)
