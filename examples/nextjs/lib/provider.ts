// One client for the server and, without a key, two simulators in this process as its providers.
// The first one can simulate faults.
import { type Endpoint, HolySheepStreamingClient } from 'holysheep'
import { type Scenario, type Simulator, startSimulator } from 'holysheep/simulator'
import { CallLogs } from './call-log'
import type { Fault, Status } from './types'

const ANSWER = [
  'This answer comes from a simulator inside this app, so it is the same for every question. What happens to it on the ' +
    'way is real: the sockets, timeouts and errors are those of a provider that fails.',
  'A model writes for seconds, and in those seconds anything can break. When the connection is lost mid-word, the ' +
    'client asks for the rest, compares it with the text that you have, and removes every letter that would be a ' +
    'duplicate. You see one complete text, in order.',
  'When a provider stays down, its circuit breaker opens and the next one answers. No request waits for a server that ' +
    'is known to be down; after a few seconds a single request checks whether it has recovered. Xin chào! 🐑',
].join('\n\n')

const HEALTHY: Scenario = { text: ANSWER, chunkChars: 5, chunkDelayMs: 24, firstTokenDelayMs: 250, onContinue: 'word' }
const DOWN: Scenario = { status: 503 }
const DISCONNECT: Scenario = { ...HEALTHY, disconnect: { afterChunks: 61, how: 'reset' } }

interface Backend {
  client: HolySheepStreamingClient
  callLogs: CallLogs
  /** Called before each call: scripts the one disconnect that the fault of that name causes. */
  prepare(): void
  status(): Status
  setFault: ((fault: Fault) => void) | null
}

async function start(): Promise<Backend> {
  const key = process.env.HOLYSHEEP_API_KEY || undefined
  const simulators = key ? undefined : await Promise.all([startSimulator({ seed: 1 }), startSimulator({ seed: 2 })])
  const endpoints: Endpoint[] = simulators
    ? simulators.map(({ url }, index) => ({
        name: index === 0 ? 'Main' : 'Spare',
        baseUrl: url,
        apiKey: 'none-needed',
      }))
    : [{ name: 'HolySheep', baseUrl: process.env.HOLYSHEEP_BASE_URL || 'api.holysheep.ai', apiKey: key }]

  const callLogs = new CallLogs()
  const client = new HolySheepStreamingClient({
    endpoints,
    maxRetries: 3,
    totalTimeoutMs: 120_000,
    retry: { baseDelayMs: 400, maxDelayMs: 4000 },
    circuitBreaker: { failureThreshold: 3, openMs: 6000 },
    onEvent: callLogs.onEvent,
  })

  let fault: Fault = 'none'
  const setFault = (chosen: Fault) => {
    const [main, spare] = simulators as [Simulator, Simulator]
    fault = chosen
    for (const simulator of [main, spare]) {
      simulator.reset()
      simulator.setDefault(HEALTHY)
    }
    if (fault === 'busy') main.setDefault({ status: 429, retryAfterMs: 4000 })
    if (fault === 'outage' || fault === 'all-down') main.setDefault(DOWN)
    if (fault === 'all-down') spare.setDefault(DOWN)
  }
  if (simulators) setFault('none')
  const prepare = () => {
    if (fault === 'disconnect') simulators?.[0].script(DISCONNECT)
  }

  const status = (): Status => {
    const { calls, inFlight, retries, fallbacks, recoveries, routes, breakers } = client.metrics()
    return {
      fault: simulators ? fault : null,
      endpoints: endpoints.map(({ name = '', baseUrl }) => {
        const route = routes.find(({ endpoint }) => endpoint === name)
        return {
          name,
          url: simulators ? baseUrl : '',
          circuit: breakers.find(({ endpoint }) => endpoint === name)?.state ?? 'CLOSED',
          attempts: route?.attempts ?? 0,
          // An answer that the user stopped is not a failure.
          failures: (route?.failures ?? 0) - (route?.failuresByCode.ABORTED ?? 0),
        }
      }),
      counters: { calls, inFlight, retries, fallbacks, recoveries },
      logs: callLogs.list(),
    }
  }
  return { client, callLogs, prepare, status, setFault: simulators ? setFault : null }
}

// Each route is a separate bundle, and a reload in development makes new ones, but the process has one backend.
const shared = globalThis as typeof globalThis & { backend?: Promise<Backend> }

export function backend(): Promise<Backend> {
  shared.backend ??= start()
  return shared.backend
}
