import { HolySheepStreamingClient } from 'holysheep'

const client = new HolySheepStreamingClient({
  model: 'gpt-4.1',
  cost: {
    hardCapUsd: 0.01,
    softLimitUsd: 0.004,
    window: 'day',
    onSoftLimit: ({ spentUsd }) => console.log({ spentUsd }),
  },
})
const messages = [{ role: 'user', content: 'Hi' }]
for (let call = 1; call <= 12; call++) {
  const { success, error } = await client.streamWithRetry(messages, null, null, { maxRetries: 0, totalTimeoutMs: 5000 })
  if (!success) console.log('call', call, error.name, error.code, error.message)
}
console.log(client.cost())
