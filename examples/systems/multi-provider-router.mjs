import { HolySheepStreamingClient, MultiProviderRouter } from 'holysheep'

const [primary, backup1] = [process.env.HOLYSHEEP_BASE_URL, process.env.HOLYSHEEP_BACKUP_URL]
const router = new MultiProviderRouter({ endpoints: { primary, backup1 } })
for (let call = 0; call < 3; call++) {
  const baseUrl = router.selectEndpoint()
  const name = router.getEndpointName(baseUrl)
  const started = Date.now()
  const { success } = await new HolySheepStreamingClient({ baseUrl }).streamWithRetry([{ role: 'user', content: 'Hi' }])
  router.recordLatency(name, Date.now() - started)
  success ? router.recordSuccess(name) : router.recordFailure(name)
  console.log(name, success, router.breakers[name].getHealthScore())
}
