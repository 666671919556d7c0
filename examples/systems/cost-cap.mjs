import { HolySheepStreamingClient } from 'holysheep'

const onSoftLimit = ({ spentUsd }) => console.log({ spentUsd })
const client = new HolySheepStreamingClient({
  model: 'gpt-4.1',
  cost: { hardCapUsd: 0.01, softLimitUsd: 0.004, window: 'day', onSoftLimit },
})
const options = { maxRetries: 0, totalTimeoutMs: 5000 }
for (let call = 1; call <= 12; call++) {
  const { success, error } = await client.streamWithRetry([{ role: 'user', content: 'Hi' }], null, null, options)
  if (!success) console.log('call', call, error.name, error.code, error.message)
}
console.log(client.cost())
