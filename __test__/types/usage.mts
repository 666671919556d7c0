// The intended use of the declarations, and uses that they must reject.
import {
  APIError,
  CircuitBreaker,
  type ClientOptions,
  CostCapError,
  catalogue,
  classifyComplexity,
  HolySheepError,
  HolySheepStreamingClient,
  type Metrics,
  RateLimitedClient,
  TimeoutError,
} from 'holysheep'
import { type Scenario, startSimulator } from 'holysheep/simulator'

export async function use() {
  const scenario: Scenario = { status: 429, retryAfterMs: 5 }
  await using simulator = await startSimulator({ default: scenario })
  const options: ClientOptions = { baseUrl: simulator.url, circuitBreaker: new CircuitBreaker(5, 1000), maxRetries: 2 }
  await using client = new HolySheepStreamingClient('sk', options)
  new HolySheepStreamingClient()
  new HolySheepStreamingClient('sk', 3)
  const routed: ClientOptions = { endpoints: [{ baseUrl: 'a', weight: 2 }], routing: 'least-busy', healthCheckMs: 1000 }
  const { routes, waits }: Metrics = new HolySheepStreamingClient(routed).metrics()
  const [p95, backoffs]: [number | null | undefined, number | undefined] = [routes[0]?.firstTokenMs.p95, waits.backoff]
  const [health] = await client.healthCheck()
  if (health && !health.healthy) return `${health.error} ${p95} ${backoffs} ${client.metricsText()}`
  const limited: HolySheepStreamingClient = new RateLimitedClient('sk', { capacity: 5, maxRetries: 1 })
  limited.baseDelay = 5
  new HolySheepStreamingClient('sk', {
    retry: { retryOn: { 429: [5000], '5xx': 'retry', ECONNRESET: 'fallback', quota: 'never', 503: { delaysMs: [1] } } },
    retryBudget: { ratio: 0.1 },
  })
  const stream = client.stream({ messages: [{ role: 'user', content: 'x' }] }, { signal: AbortSignal.timeout(5) })
  for await (const chunk of stream) {
    const delta: string | null | undefined = chunk.choices[0]?.delta.content
    process.stdout.write(delta ?? '')
  }
  try {
    await stream.text()
  } catch (error) {
    if (error instanceof CostCapError) return error.neededUsd.toFixed(error.window === 'day' ? 2 : 3)
    if (error instanceof TimeoutError) return error.phase satisfies string
    if (error instanceof APIError) return error.status?.toFixed()
    if (error instanceof HolySheepError) return error.attempts[0]?.requestId
  }
  const { usage, finishReason } = await stream.result
  return `${usage?.total_tokens} ${finishReason}`
}

export async function costs(client: HolySheepStreamingClient) {
  const cost: ClientOptions['cost'] = { hardCapUsd: 1, countTokens: (_model, text) => text.length / 4 }
  new HolySheepStreamingClient({ cost, models: { mine: { contextTokens: 9 } }, validateModel: true })
  const [model] = await client.models()
  const contextTokens: number = catalogue()[model?.id ?? 'gpt-4.1']?.contextTokens ?? 0
  const level: 'simple' | 'moderate' | 'complex' = classifyComplexity([{ role: 'user', content: 'Hi' }])
  return [contextTokens, level, client.cost().byTenant.ann?.spentUsd, (await client.chat({ messages: [] }))._cost_usd]
}

export function rejected() {
  // @ts-expect-error no such window
  new HolySheepStreamingClient({ cost: { window: 'week' } })
  // @ts-expect-error no such strategy
  new HolySheepStreamingClient('sk', { routing: 'fastest' })
  // @ts-expect-error a misspelled option
  new HolySheepStreamingClient('sk', { maxRetry: 3 })
  // @ts-expect-error a number is not a key
  new HolySheepStreamingClient(5)
  // @ts-expect-error only a client creates a stream
  ;new (null as never as typeof import('holysheep').ChatStream)()
  // @ts-expect-error no such jitter
  new HolySheepStreamingClient({ retry: { jitter: 'some' } })
}
