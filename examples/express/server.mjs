// A chat backend on Express 5 that stays available when the provider fails.
//   npm start                                  against the built-in simulator, no key needed
//   FAULT=disconnect npm start                 … with a fault: disconnect, slow, busy, outage
//   HOLYSHEEP_API_KEY=sk-… npm start           against the real API
import express from 'express'
import { HolySheepStreamingClient } from 'holysheep'
import { FAULT_NAMES, startProvider } from './provider.mjs'

/** How long open streams may take to finish after SIGTERM, in milliseconds. */
const GRACE_MS = Number(process.env.GRACE_MS ?? 30_000)

const key = process.env.HOLYSHEEP_API_KEY || undefined
const simulated = key ? undefined : await startProvider(process.env.FAULT)
const client = new HolySheepStreamingClient(key ?? 'no-key-needed', {
  ...(simulated && { baseUrl: simulated.url }),
  maxRetries: 2,
  totalTimeoutMs: 120_000,
  maxConcurrent: 200,
  retry: { baseDelayMs: 200 },
  circuitBreaker: { failureThreshold: 5, openMs: 10_000 },
})
let draining = false

const app = express()
app.disable('x-powered-by')
app.use(express.json({ limit: '1mb' }))

app.post('/chat', async (req, res) => {
  const { messages } = req.body ?? {}
  const stream = client.stream({ messages, stream_options: { include_usage: true } })
  // Aborts the call if the browser disconnects, and sends it the error if the call fails. Only the log is left to do.
  const { outcome, error } = await stream.pipe(res)
  if (outcome === 'failed') console.error('chat failed:', error.code, error.message)
})

// For a load balancer: 503 once no more requests should be sent here.
app.get('/health', (_req, res) => {
  const { inFlight } = client.metrics()
  res.status(draining ? 503 : 200).json({ status: draining ? 'draining' : 'ok', inFlight })
})

app.get('/metrics', (_req, res) => {
  res.type('text/plain; version=0.0.4').send(client.metricsText())
})

if (simulated) {
  app.put('/fault/:name', (req, res) => {
    const { name } = req.params
    if (!FAULT_NAMES.includes(name)) return res.status(404).json({ error: { message: FAULT_NAMES.join(', ') } })
    simulated.set(name)
    res.json({ fault: name })
  })
}

// Invalid requests are a 400; the error of holysheep or Express says what is wrong.
app.use((error, _req, res, next) => {
  const status = error instanceof TypeError && error.code !== undefined ? 400 : error.status
  if (res.headersSent || !(status < 500)) return next(error)
  res.status(status).json({ error: { message: error.message, type: 'invalid_request_error', code: null, param: null } })
})

const server = app.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1', (error) => {
  if (error) throw error
  const { address, port } = server.address()
  console.log(`listening on http://${address}:${port}`)
})

/** Stops accepting connections, waits for open streams, then exits. */
async function shutdown() {
  if (draining) return
  draining = true
  console.log('draining')
  const closed = new Promise((resolve) => server.close(resolve))
  // A connection whose stream has ended is idle but kept alive, so it must be closed.
  const sweep = setInterval(() => server.closeIdleConnections(), 100)
  // After the grace period the remaining calls end, and their clients receive an error.
  const grace = setTimeout(() => client.close(), GRACE_MS)
  await closed
  clearInterval(sweep)
  clearTimeout(grace)
  await client.close()
  await simulated?.close()
  console.log('bye')
}
process.once('SIGTERM', shutdown)
process.once('SIGINT', shutdown)
