// The intended use of loggers, diagnostics channels, OpenTelemetry and the test clock.
import { type AttemptTrace, type CallTrace, HolySheepStreamingClient, type Logger } from 'holysheep'
import { HolySheepInstrumentation, instrument } from 'holysheep/opentelemetry'
import { type TestClock, testClock } from 'holysheep/simulator'
import pino from 'pino'

export async function use(trace: CallTrace, attempt: AttemptTrace) {
  const logger: Logger = pino()
  new HolySheepStreamingClient('sk', { logger })
  new HolySheepStreamingClient('sk', { logger: console, proxy: new URL('http://proxy:3128'), ca: [Buffer.from('')] })
  new HolySheepStreamingClient('sk', { logger: false, proxy: false, ca: 'pem' })
  // @ts-expect-error true is not a proxy
  new HolySheepStreamingClient('sk', { proxy: true })
  // @ts-expect-error a logger needs the methods of the levels
  new HolySheepStreamingClient('sk', { logger: { log() {} } })
  const tokens: number | undefined = trace.result?.usage?.total_tokens
  const outcome: string | undefined = attempt.parent === trace ? attempt.outcome : undefined
  instrument({ attributes: ({ request, model }) => ({ model, messages: request.messages.length }) }).disable()
  new HolySheepInstrumentation({ enabled: false }).enable()
  // @ts-expect-error no such option
  instrument({ prompts: true })
  using clock: TestClock = testClock({ settleMs: 500 })
  await clock.advance(1000)
  const answer: string = await clock.runUntil(new HolySheepStreamingClient().stream({ messages: [] }).text())
  return `${tokens} ${outcome} ${answer} ${clock.now}`
}
