// simulate: [{"status":503}]
import { HolySheepStreamingClient } from 'holysheep'

const onEvent = ({ type, call, attempt, requestId }) => console.log(type, { call, attempt, requestId })
const client = new HolySheepStreamingClient({ onEvent, retry: { baseDelayMs: 50 } })
await client.chat({ messages: [{ role: 'user', content: 'Hi' }] })
