// simulate: [{"status":503},{"status":409}]
import { HolySheepStreamingClient } from 'holysheep'

const retryOn = { 409: { delaysMs: [50] }, 503: { delaysMs: [100, 200, 400] }, timeout: 'fallback', 400: 'never' }
const onEvent = (event) => event.type === 'wait' && console.log('waits', event.ms, 'ms')
const client = new HolySheepStreamingClient({ retry: { retryOn }, onEvent })
console.log(await client.stream({ messages: [{ role: 'user', content: 'Hi' }] }).text())
