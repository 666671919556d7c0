// holysheep/opentelemetry with the real SDK: spans, metrics, the caller's context, and no prompts.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { context, metrics, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { HolySheepInstrumentation, instrument } from '../opentelemetry.mjs'
import { node } from './support/child.mjs'
import { ANSWER, failure, KEY, pair, provider, QUICK, REQUEST, until } from './support/provider.mjs'

const storage = new AsyncLocalStorage()
/** Like the one of @opentelemetry/context-async-hooks. */
const contextManager = {
  active: () => storage.getStore() ?? ROOT_CONTEXT,
  with: (active, fn, self, ...args) => storage.run(active, () => fn.call(self, ...args)),
  bind: (_active, target) => target,
  enable: () => contextManager,
  disable: () => contextManager,
}

const spanExporter = new InMemorySpanExporter()
const metricExporter = new InMemoryMetricExporter(AggregationTemporality.DELTA)
const tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] })
const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 1e6 })
const meters = new MeterProvider({ readers: [reader] })
before(() => {
  context.setGlobalContextManager(contextManager)
  trace.setGlobalTracerProvider(tracers)
  metrics.setGlobalMeterProvider(meters)
})
after(() => meters.shutdown())

let instrumentation
beforeEach(() => {
  instrumentation = instrument()
})
afterEach(async () => {
  instrumentation.disable()
  await reader.forceFlush()
  metricExporter.reset()
  spanExporter.reset()
})

/** The finished spans: those of calls, and those of attempts. */
function finishedSpans() {
  const spans = spanExporter.getFinishedSpans()
  return { calls: spans.filter(({ name }) => name !== 'POST'), attempts: spans.filter(({ name }) => name === 'POST') }
}

/** The exported metrics: name → data points. */
async function exportedMetrics() {
  await reader.forceFlush()
  const all = metricExporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
  return Object.fromEntries(all.map(({ descriptor, dataPoints }) => [descriptor.name, { ...descriptor, dataPoints }]))
}

/** The text, once the call has ended: its usage may come after the text. */
async function textOf(stream) {
  await stream.result
  return stream.text()
}

test('a call is one client span with the attributes of the semantic conventions', async (t) => {
  const { simulator, client } = await pair(t)
  const request = {
    ...REQUEST,
    model: 'gpt-4.1',
    max_tokens: 50,
    temperature: 0.5,
    top_p: 1,
    seed: 7,
    stop: 'END',
    response_format: { type: 'json_object' },
  }
  const since = performance.now()
  const completion = await client.chat(request, { sessionId: 'session-1' })
  const seconds = (performance.now() - since) / 1000
  const { calls } = finishedSpans()
  assert.equal(calls.length, 1)
  const [{ name, kind, attributes, status, events }] = calls
  assert.deepEqual([name, kind, status.code, events], ['chat gpt-4.1', SpanKind.CLIENT, SpanStatusCode.UNSET, []])
  const { 'gen_ai.response.time_to_first_chunk': firstChunk, 'holysheep.cost_usd': cost, ...rest } = attributes
  assert.ok(firstChunk > 0 && firstChunk <= seconds && cost > 0, `${firstChunk} of ${seconds} s`)
  assert.deepEqual(rest, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gpt-4.1',
    'gen_ai.request.stream': true,
    'gen_ai.request.max_tokens': 50,
    'gen_ai.request.temperature': 0.5,
    'gen_ai.request.top_p': 1,
    'gen_ai.request.seed': 7,
    'gen_ai.request.stop_sequences': ['END'],
    'gen_ai.output.type': 'json',
    'gen_ai.conversation.id': 'session-1',
    'gen_ai.response.id': completion.id,
    'gen_ai.response.model': completion.model,
    'gen_ai.response.finish_reasons': ['stop'],
    'gen_ai.usage.input_tokens': completion.usage.prompt_tokens,
    'gen_ai.usage.output_tokens': completion.usage.completion_tokens,
    'server.address': '127.0.0.1',
    'server.port': simulator.port,
    'holysheep.endpoint': `127.0.0.1:${simulator.port}`,
    'holysheep.attempts': 1,
    'holysheep.recoveries': 0,
  })
})

test("the caller's span is the parent of a call's span, and each attempt is a child span", async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ status: 503 }, {})
  const tracer = tracers.getTracer('app')
  const outer = tracer.startSpan('request')
  await context.with(trace.setSpan(context.active(), outer), () => textOf(client.stream(REQUEST)))
  outer.end()
  const { calls, attempts } = finishedSpans()
  const call = calls.find(({ name }) => name === 'chat gpt-4.1')
  assert.equal(call.parentSpanContext.spanId, outer.spanContext().spanId)
  assert.deepEqual(
    attempts.map(({ parentSpanContext }) => parentSpanContext.spanId),
    [call.spanContext().spanId, call.spanContext().spanId],
  )
  const [first, second] = attempts
  assert.equal(first.status.code, SpanStatusCode.ERROR)
  assert.deepEqual(
    [first, second].map(({ attributes: a }) => [
      a['http.request.method'],
      a['http.response.status_code'],
      a['http.request.resend_count'],
      a['error.type'],
      a['holysheep.attempt.reason'],
    ]),
    [
      ['POST', 503, undefined, 'SERVER_ERROR', 'first'],
      ['POST', 200, 1, undefined, 'retry'],
    ],
  )
  assert.equal(second.attributes['holysheep.request.id'], simulator.requests[1].headers['x-client-request-id'])
})

test('retries, fallbacks, recoveries and breaker changes are span events', async (t) => {
  const { simulator, client } = await pair(t, {
    maxRetries: 1,
    fallbackModels: ['small'],
    circuitBreaker: { failureThreshold: 2 },
  })
  simulator.script({ status: 503 }, { status: 503 }, { disconnect: { afterChunks: 3 } }, {})
  assert.equal(await textOf(client.stream(REQUEST)), ANSWER)
  const [{ events, attributes }] = finishedSpans().calls
  const names = events.map(({ name }) => name.replace('holysheep.', ''))
  for (const name of ['attempt_failed', 'wait', 'retry', 'circuit', 'fallback', 'recovery']) {
    assert.ok(names.includes(name), `${name} in ${names}`)
  }
  const fallback = events.find(({ name }) => name === 'holysheep.fallback')
  assert.equal(fallback.attributes['gen_ai.request.model'], 'small')
  assert.deepEqual([attributes['holysheep.attempts'], attributes['holysheep.recoveries']], [4, 1])
  assert.equal(attributes['gen_ai.request.model'], 'gpt-4.1')
})

test('a failed call has its code as error.type in the span and the metric', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ status: 401 })
  await failure(client.chat(REQUEST))
  const [{ status, attributes }] = finishedSpans().calls
  assert.equal(status.code, SpanStatusCode.ERROR)
  assert.equal(attributes['error.type'], 'AUTH_FAILED')
  const { 'gen_ai.client.operation.duration': duration, 'gen_ai.client.token.usage': tokens } = await exportedMetrics()
  assert.equal(duration.dataPoints[0].attributes['error.type'], 'AUTH_FAILED')
  assert.equal(tokens, undefined)
})

test('an aborted call ends its spans with the name of the reason', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ disconnect: { afterChunks: 2, how: 'stall' } })
  for await (const _ of client.stream(REQUEST).textStream) break
  const { calls, attempts } = finishedSpans()
  assert.deepEqual([calls.length, attempts.length], [1, 1])
  assert.equal(calls[0].attributes['error.type'], 'AbortError')
  assert.equal(attempts[0].attributes['holysheep.attempt.outcome'], 'ABORTED')
})

test('metrics follow the semantic conventions', async (t) => {
  const { simulator, client } = await pair(t)
  const { usage } = await client.chat(REQUEST)
  await textOf(client.stream(REQUEST))
  const all = await exportedMetrics()
  assert.deepEqual(Object.keys(all).sort(), [
    'gen_ai.client.operation.duration',
    'gen_ai.client.operation.time_to_first_chunk',
    'gen_ai.client.token.usage',
  ])
  const duration = all['gen_ai.client.operation.duration']
  assert.equal(duration.unit, 's')
  assert.deepEqual(duration.dataPoints[0].value.buckets.boundaries.slice(0, 3), [0.01, 0.02, 0.04])
  assert.equal(duration.dataPoints[0].value.count, 2)
  assert.deepEqual(duration.dataPoints[0].attributes, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gpt-4.1',
    'gen_ai.response.model': 'gpt-4.1',
    'server.address': '127.0.0.1',
    'server.port': simulator.port,
  })
  // Only for the streamed answer.
  assert.equal(all['gen_ai.client.operation.time_to_first_chunk'].dataPoints[0].value.count, 1)
  const tokens = all['gen_ai.client.token.usage']
  const sums = Object.fromEntries(
    tokens.dataPoints.map(({ attributes, value }) => [attributes['gen_ai.token.type'], value.sum]),
  )
  assert.equal(sums.input, 2 * usage.prompt_tokens)
  assert.deepEqual(tokens.dataPoints[0].value.buckets.boundaries.at(-1), 67108864)
})

test('a call in another dialect through createFetch is instrumented', async (t) => {
  const { createServer } = await import('node:http')
  const { createFetch } = await import('../fetch.mjs')
  const usage = { input_tokens: 3, output_tokens: 5, total_tokens: 8 }
  const response = { id: 'resp_1', object: 'response', status: 'completed', model: 'gpt-4.1', output: [], usage }
  const events = [
    { type: 'response.created', response: { ...response, status: 'in_progress', usage: null } },
    { type: 'response.output_text.delta', output_index: 0, content_index: 0, item_id: 'msg_1', delta: 'Hello.' },
    { type: 'response.completed', response },
  ]
  const server = createServer((_, answer) => {
    answer.setHeader('content-type', 'text/event-stream')
    answer.end(events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(''))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const answer = await createFetch()(`http://127.0.0.1:${server.address().port}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4.1', input: 'Hi', stream: true, max_output_tokens: 9 }),
  })
  assert.match(await answer.text(), /response\.completed/)
  await until(() => finishedSpans().calls.length > 0)
  const { calls, attempts } = finishedSpans()
  assert.deepEqual([calls.length, attempts.length, calls[0].name], [1, 1, 'chat gpt-4.1'])
  assert.equal(calls[0].attributes['gen_ai.request.max_tokens'], 9)
  assert.equal(calls[0].status.code, SpanStatusCode.UNSET)
})

test('prompts, answers and keys are not recorded', async (t) => {
  const { simulator, client } = await pair(t)
  const messages = [{ role: 'user', content: 'a private matter' }]
  await client.chat({ messages })
  simulator.setDefault({ disconnect: { afterChunks: 3 } })
  await failure(client.chat({ messages }, { recovery: false }))
  const seen = JSON.stringify([
    spanExporter
      .getFinishedSpans()
      .map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
    await exportedMetrics(),
  ])
  for (const secret of ['private', KEY, ANSWER.slice(0, 8)]) assert.ok(!seen.includes(secret), secret)
})

describe('options', () => {
  test('set the provider name, add attributes and disable attempt spans', async (t) => {
    instrumentation.setConfig({
      attemptSpans: false,
      providerName: 'in_house',
      attributes: ({ request, tenant }) => ({ messages: request.messages.length, 'enduser.id': tenant }),
    })
    const { client } = await pair(t)
    await client.chat(REQUEST, { tenant: 'user-1' })
    const { calls, attempts } = finishedSpans()
    assert.deepEqual(attempts, [])
    const { attributes } = calls[0]
    assert.deepEqual(
      [attributes['gen_ai.provider.name'], attributes.messages, attributes['enduser.id']],
      ['in_house', 1, 'user-1'],
    )
  })

  test('that do not exist are rejected', () => {
    assert.throws(() => instrument({ prompts: true }), /prompts: unknown option; accepted: enabled/)
  })

  test('providers set on the instrumentation take precedence over the global ones', async (t) => {
    instrumentation.disable()
    const exporter = new InMemorySpanExporter()
    const custom = new HolySheepInstrumentation({ enabled: false })
    custom.setTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
    custom.setMeterProvider(meters)
    const { client } = await pair(t)
    await client.chat(REQUEST)
    custom.enable()
    await client.chat(REQUEST)
    custom.disable()
    await client.chat(REQUEST)
    assert.deepEqual(
      exporter.getFinishedSpans().map(({ name }) => name),
      ['POST', 'chat gpt-4.1'],
    )
    assert.deepEqual(spanExporter.getFinishedSpans(), [])
  })

  test('default the provider name to the one for the host', async (t) => {
    const simulator = await provider(t)
    const { httpProxy } = await import('./support/proxy.mjs')
    const proxy = await httpProxy(t, { target: { host: '127.0.0.1', port: simulator.port } })
    const { HolySheepStreamingClient } = await import('../index.mjs')
    for (const [host, name] of [
      ['api.holysheep.ai', 'holysheep'],
      ['api.deepseek.com', 'deepseek'],
      ['evil-deepseek.com', 'openai'],
    ]) {
      const client = new HolySheepStreamingClient(KEY, { baseUrl: `http://${host}/v1`, proxy: proxy.url, ...QUICK })
      await client.chat(REQUEST)
      await client.close()
      assert.equal(finishedSpans().calls.at(-1).attributes['gen_ai.provider.name'], name)
    }
  })
})

test('without @opentelemetry/api the error says what to install, and the client still loads', async () => {
  const source = readFileSync(new URL('../dist/opentelemetry.js', import.meta.url), 'utf8')
  assert.ok(source.includes("require('@opentelemetry/api')"))
  const script = `
    const { Module } = require('node:module')
    const load = Module._load
    Module._load = (name, ...rest) => {
      if (name.startsWith('@opentelemetry')) throw new Error('Cannot find module')
      return load(name, ...rest)
    }
    require('./dist/index.js')
    try { require('./dist/opentelemetry.js') } catch (error) { console.log(error.message) }`
  const { stdout } = await node(['-e', script])
  assert.match(stdout, /npm install @opentelemetry\/api/)
})
