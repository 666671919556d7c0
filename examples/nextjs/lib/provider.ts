// One client for the whole server and, where there is no key, the providers themselves: two simulators in this process.
// The first can be given a bad day.
import { type Endpoint, HolySheepStreamingClient } from 'holysheep'
import { type Scenario, type Simulator, startSimulator } from 'holysheep/simulator'
import { Courses } from './course'
import type { Fault, Status } from './types'

const ANSWER = [
  'This answer comes from a simulator inside this app, so it is the same for every question. What happens to it on the ' +
    'way is real: sockets, timeouts and errors are those of a provider with a bad day.',
  'A model writes for seconds, and in those seconds anything can break. When the connection is cut in mid-word, the ' +
    'client asks for the rest, compares what comes with what you have read, and takes off every letter that would come ' +
    'twice. You see one text, in order, without a seam.',
  'When a provider stays down, its circuit breaker opens and the next one answers. Nobody waits for a server that is ' +
    'known to be ill; after a few seconds a single request finds out whether it is well again. Xin chào! 🐑',
].join('\n\n')

const HEALTHY: Scenario = { text: ANSWER, chunkChars: 5, chunkDelayMs: 24, firstTokenDelayMs: 250, onContinue: 'word' }
const DOWN: Scenario = { status: 503 }
const CUT: Scenario = { ...HEALTHY, disconnect: { afterChunks: 61, how: 'reset' } }

interface Backend {
  client: HolySheepStreamingClient
  courses: Courses
  /** Before each answer: one that is to break off does so once. */
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

  const courses = new Courses()
  const client = new HolySheepStreamingClient({
    endpoints,
    maxRetries: 3,
    totalTimeoutMs: 120_000,
    retry: { baseDelayMs: 400, maxDelayMs: 4000 },
    circuitBreaker: { failureThreshold: 3, openMs: 6000 },
    onEvent: courses.onEvent,
  })

  let fault: Fault = 'none'
  const setFault = (given: Fault) => {
    const [main, spare] = simulators as [Simulator, Simulator]
    fault = given
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
    if (fault === 'cut') simulators?.[0].script(CUT)
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
          // An answer that the reader stopped is no failure.
          failures: (route?.failures ?? 0) - (route?.failuresByCode.ABORTED ?? 0),
        }
      }),
      counters: { calls, inFlight, retries, fallbacks, recoveries },
      courses: courses.list(),
    }
  }
  return { client, courses, prepare, status, setFault: simulators ? setFault : null }
}

// Each route is a bundle of its own, and a reload in development makes new ones: the process has one backend.
const shared = globalThis as typeof globalThis & { backend?: Promise<Backend> }

export function backend(): Promise<Backend> {
  shared.backend ??= start()
  return shared.backend
}
