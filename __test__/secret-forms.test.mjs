// What a provider quotes of the values that it was sent, in any form, stands in nothing that the client shows.
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { createFetch } from '../fetch.mjs'
import { HolySheepStreamingClient } from '../index.mjs'
import { instrument } from '../opentelemetry.mjs'
import { listen } from './support/listen.mjs'
import { failure, QUICK, REQUEST } from './support/provider.mjs'

const SECRET = 'Zq7/Tm+3vXw9_Kd2-Pb5Rn8Ys4Lc6'

/** What reveals a secret: twelve characters of it, or the last four. */
function assertHidden(text, where, secret = SECRET) {
  const shown = text.toLowerCase()
  const parts = [secret.slice(-5), ...Array.from({ length: secret.length - 11 }, (_, at) => secret.slice(at, at + 12))]
  for (const part of parts) assert.ok(!shown.includes(part.toLowerCase()), `${where}: ${part} in ${text}`)
}

/** Everything that an error shows, wherever it is printed. */
function printed(error) {
  if (!(error instanceof Error)) return inspect(error, { depth: 9 })
  const fields = Object.getOwnPropertyNames(error).map((name) =>
    inspect(error[name], { depth: 9, maxStringLength: null }),
  )
  return [
    inspect(error, { depth: 9, showHidden: true, maxStringLength: null }),
    error.stack,
    String(error),
    JSON.stringify(error),
    JSON.stringify(error.headers),
    JSON.stringify(error.snapshot),
    ...fields,
    error.cause ? printed(error.cause) : '',
  ].join('\n')
}

const escaped = (text) => text.replace(/./g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
const FORMS = {
  plain: SECRET,
  'in another case': SECRET.toUpperCase(),
  'with escaped slashes': SECRET.replaceAll('/', '\\/'),
  'in Unicode escapes': escaped(SECRET),
  'escaped twice': escaped(SECRET).replaceAll('\\', '\\\\'),
  'percent-encoded': encodeURIComponent(SECRET),
  'percent-encoded twice': encodeURIComponent(encodeURIComponent(SECRET)),
  'every byte percent-encoded': SECRET.replace(/./g, (c) => `%${c.charCodeAt(0).toString(16)}`),
  'in HTML': SECRET.replace(/[^a-z0-9]/gi, (c) => `&#${c.charCodeAt(0)};`),
  'in base64': Buffer.from(SECRET).toString('base64'),
  'in basic authentication': Buffer.from(`user:${SECRET}`).toString('base64'),
  'in hexadecimal digits': Buffer.from(SECRET).toString('hex'),
  'first and last characters': `${SECRET.slice(0, 5)}...${SECRET.slice(-5)}`,
  'last characters behind asterisks': `********${SECRET.slice(-5)}`,
  'last characters in words': `key ending in ${SECRET.slice(-5)}`,
}

/** A provider that answers every request with `answer(request)`. */
async function echo(t, answer) {
  const server = createServer((req, res) => {
    req.resume()
    req.on('end', () => {
      const { status = 401, headers = {}, body } = answer(req)
      res.writeHead(status, { 'content-type': 'application/json', ...headers })
      res.end(body)
    })
  })
  return `${await listen(t, server)}/v1`
}

/** Collects what is published and logged. */
function observers(t) {
  const seen = []
  const names = ['holysheep:event', 'tracing:holysheep:call:error', 'tracing:holysheep:attempt:error']
  const listener = (message) => seen.push(inspect(message, { depth: 9 }), printed(message.error))
  for (const name of names) {
    subscribe(name, listener)
    t.after(() => unsubscribe(name, listener))
  }
  const log = (...args) => seen.push(args.map((arg) => inspect(arg, { depth: 9 })).join(' '))
  const onEvent = (event) => seen.push(JSON.stringify(event))
  return { seen, options: { onEvent, logger: { debug: log, info: log, warn: log, error: log } } }
}

const PLACES = {
  'headers of an endpoint': (baseUrl) => ({ client: { endpoints: [{ baseUrl, headers: { 'api-key': SECRET } }] } }),
  'headers of the client': (baseUrl) => ({ client: { endpoints: [{ baseUrl }], headers: { 'x-custom': SECRET } } }),
  'headers of the call': (baseUrl) => ({
    client: { endpoints: [{ baseUrl }] },
    call: { headers: { 'x-auth': `Bearer ${SECRET}` } },
  }),
  apiKey: (baseUrl) => ({ client: { baseUrl, apiKey: SECRET } }),
}

for (const [place, optionsOf] of Object.entries(PLACES)) {
  test(`a secret in ${place} is not shown, in whatever form the provider quotes it`, async (t) => {
    let form = ''
    let status = 401
    const url = await echo(t, () => {
      const latin1 = form.replace(/[^\x20-\x7e]/g, '?')
      const headers = { 'x-request-id': latin1, 'x-quote': `the key ${latin1}` }
      const error = `{"error":{"message":"the key ${form} is wrong","type":"${form}","code":"${form}","param":"${form}"}}`
      return { status, headers, body: status === 200 ? `data: ${error}\n\n` : error }
    })
    const { seen, options } = observers(t)
    const { client: clientOptions, call } = optionsOf(url)
    const client = new HolySheepStreamingClient({
      ...QUICK,
      maxRetries: 1,
      circuitBreaker: false,
      ...options,
      ...clientOptions,
    })
    t.after(() => client.close())
    for (const [name, written] of Object.entries(FORMS)) {
      for (status of [401, 500, 200]) {
        form = written
        const error = await failure(client.stream(REQUEST, call).result)
        assertHidden(printed(error), `${name}, status ${status}`)
        assertHidden(seen.splice(0).join('\n'), `observers: ${name}, status ${status}`)
      }
      status = 401
      if (place !== 'headers of the call') {
        assertHidden(printed(await failure(client.models())), `models(): ${name}`)
        assertHidden(JSON.stringify(await client.healthCheck()), `healthCheck(): ${name}`)
      }
    }
    assertHidden(client.metricsText(), 'metrics')
  })
}

test('the credentials of a proxy are not shown', async (t) => {
  const credentials = Buffer.from('proxyuser1:open-sesame-9').toString('base64')
  const proxy = await echo(t, ({ headers }) => ({
    status: 407,
    headers: { 'x-quote': headers['proxy-authorization'] },
    body: `{"error":{"message":"proxyuser1 with open-sesame-9 is not ${headers['proxy-authorization']}"}}`,
  }))
  const url = new URL(proxy)
  const options = { baseUrl: 'http://provider.example/v1', apiKey: 'sk-none', maxRetries: 0 }
  const client = new HolySheepStreamingClient({ ...options, proxy: `http://proxyuser1:open-sesame-9@${url.host}` })
  t.after(() => client.close())
  const shown = printed(await failure(client.chat(REQUEST)))
  for (const secret of ['proxyuser1', 'open-sesame-9', credentials.slice(0, 12)])
    assert.ok(!shown.includes(secret), shown)
  assert.match(shown, /407/)
})

test('a short secret is removed as a whole word, and harmless headers are quoted', async (t) => {
  const url = await echo(t, () => ({
    body: '{"error":{"message":"hunter2 and hunter22 at 2023-06-01-preview none","code":"invalid_api_key"}}',
  }))
  const headers = { 'x-pin': 'hunter2', 'anthropic-version': '2023-06-01-preview', 'x-mode': 'none' }
  const client = new HolySheepStreamingClient({ endpoints: [{ baseUrl: url, headers }], maxRetries: 0 })
  t.after(() => client.close())
  const { providerMessage, providerCode } = await failure(client.chat(REQUEST))
  assert.equal(providerMessage, '… and hunter22 at 2023-06-01-preview none')
  assert.equal(providerCode, 'invalid_api_key')
})

test('the text of an answer is never changed', async (t) => {
  const text = `your key is ${SECRET}`
  const chunk = JSON.stringify({ choices: [{ index: 0, delta: { content: text }, finish_reason: 'stop' }] })
  const headers = { 'content-type': 'text/event-stream' }
  const url = await echo(t, () => ({ status: 200, headers, body: `data: ${chunk}\n\ndata: [DONE]\n\n` }))
  const client = new HolySheepStreamingClient({ endpoints: [{ baseUrl: url, headers: { 'api-key': SECRET } }] })
  t.after(() => client.close())
  assert.equal(await client.stream(REQUEST).text(), text)
})

test('results, traces and snapshots have no secret that a provider quotes as the id or model of an answer', async (t) => {
  const exporter = new InMemorySpanExporter()
  const instrumentation = instrument()
  instrumentation.setTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  t.after(() => instrumentation.disable())
  const traces = []
  const onTrace = (trace) => traces.push(inspect(trace, { depth: 9 }))
  subscribe('tracing:holysheep:call:asyncEnd', onTrace)
  t.after(() => unsubscribe('tracing:holysheep:call:asyncEnd', onTrace))
  let form = ''
  let isCut = false
  const url = await echo(t, ({ url }) => {
    if (url.endsWith('/models')) return { status: 200, body: JSON.stringify({ data: [{ id: `model-${form}` }] }) }
    const about = { id: form, model: form, system_fingerprint: form, service_tier: form }
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, note: form, [form]: 1 }
    const chunk = (delta, reason) => ({ ...about, choices: [{ index: 0, delta, finish_reason: reason }] })
    const events = [chunk({ content: 'yes' }, null), chunk({}, `stop ${form}`), { choices: [], usage }]
    const sent = isCut ? events.slice(0, 1) : events
    const body = `${sent.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}${isCut ? '' : 'data: [DONE]\n\n'}`
    return { status: 200, headers: { 'content-type': 'text/event-stream' }, body }
  })
  const client = new HolySheepStreamingClient({
    endpoints: [{ baseUrl: url, headers: { 'api-key': SECRET } }],
    recovery: false,
    maxRetries: 0,
    circuitBreaker: false,
    validateModel: true,
    model: 'model-zq7',
  })
  t.after(() => client.close())
  for (const [name, written] of Object.entries(FORMS)) {
    form = written
    isCut = false
    await client.models()
    assertHidden(printed(await failure(client.chat(REQUEST))), `the nearest model: ${name}`)
    const request = { ...REQUEST, model: 'gpt-4.1' }
    const completion = await client.chat(request)
    assert.equal(completion.choices[0].message.content, 'yes')
    assertHidden(JSON.stringify(completion), `chat(): ${name}`)
    assertHidden(JSON.stringify(await client.stream(request).result), `result: ${name}`)
    isCut = true
    assertHidden(printed(await failure(client.stream(request).result)), `snapshot: ${name}`)
    assertHidden(traces.splice(0).join('\n'), `trace: ${name}`)
    const spans = exporter.getFinishedSpans().map(({ attributes, events, status }) => ({ attributes, events, status }))
    assert.ok(spans.some(({ attributes }) => attributes['gen_ai.response.id'] !== undefined))
    assertHidden(inspect(spans, { depth: 9 }), `spans: ${name}`)
    exporter.reset()
  }
})

test('a response of createFetch with an error status quotes no secret of the request', async (t) => {
  let form = ''
  const url = await echo(t, () => ({
    headers: { 'x-quote': form },
    body: `{"error":{"message":"key ${form} is wrong"}}`,
  }))
  const fetch = createFetch({ maxRetries: 0 })
  t.after(() => fetch.close())
  const headers = { 'content-type': 'application/json', 'api-key': SECRET, authorization: `Bearer ${SECRET}` }
  const body = JSON.stringify({ ...REQUEST, model: 'm', input: 'x' })
  for (const [name, written] of Object.entries(FORMS)) {
    form = written
    for (const [path, init] of [
      ['/chat/completions', { method: 'POST', headers, body }],
      ['/embeddings', { method: 'POST', headers, body }],
      ['/files', { method: 'POST', headers, body: 'x' }],
      ['/models', { headers }],
    ]) {
      const response = await fetch(`${url}${path}`, init)
      assert.equal(response.status, 401)
      assert.equal(response.url, `${url}${path}`)
      const text = await response.clone().text()
      assertHidden(`${JSON.stringify([...response.headers])}\n${text}`, `${path}: ${name}`)
      if (path !== '/chat/completions') assert.match(text, /is wrong/)
    }
  }
})
