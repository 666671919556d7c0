// Options are read from the caller's own objects only: with a polluted `Object.prototype` the same bytes go to the same
// place.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSocketServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import { node, root } from './support/child.mjs'
import { listen } from './support/listen.mjs'

/**
 * The members of `RequestInit` that Node's own `fetch` reads from the prototype unless they are given. Its sockets read
 * `signal` there too, and no value of `dispatcher` stands for none.
 */
const INIT = [
  'method',
  'headers',
  'body',
  'redirect',
  'credentials',
  'cache',
  'mode',
  'referrer',
  'referrerPolicy',
  'integrity',
  'keepalive',
  'window',
  'duplex',
  'priority',
]

/** Every name that a type of this package declares, and those of a call's consumer, of `RequestInit` and of the environment. */
function names() {
  const types = readdirSync(join(root, 'types'), { recursive: true }).filter((file) => file.endsWith('.d.ts'))
  const own = ['index.d.ts', 'fetch.d.ts', 'ai-sdk.d.ts', 'simulator.d.ts', 'opentelemetry.d.ts']
  const files = [...types.map((file) => `types/${file}`), ...own]
  const handle = readFileSync(join(root, 'src/js/call-handle.ts'), 'utf8')
  const consumer = handle.slice(
    handle.indexOf('export interface Consumer'),
    handle.indexOf('export interface CallHandle'),
  )
  const found = [...files.map((file) => readFileSync(join(root, file), 'utf8')), consumer].flatMap((text) =>
    [...text.matchAll(/^\s+(?:readonly )?(\w+)\??:/gm)].map(([, name]) => name),
  )
  const env = [
    'HOLYSHEEP_BASE_URL',
    'HOLYSHEEP_API_KEY',
    'https_proxy',
    'http_proxy',
    'ALL_PROXY',
    'NO_PROXY',
    'SSL_CERT_FILE',
  ]
  return (
    [...new Set([...found, ...INIT, 'signal', 'dispatcher', ...env, '$proxy', 'toJSON'])]
      // Node.js and V8 read these from descriptors and iterators themselves.
      .filter((name) => !['get', 'set', 'value', 'next', 'done', 'then', 'constructor'].includes(name))
  )
}

/** A value for each name that would change a request if it were read. `EVIL` is the origin of another server. */
const POISON = `
const EVIL = process.env.EVIL
const poison = (name) => ({
  baseUrl: EVIL, proxy: EVIL, http_proxy: EVIL, https_proxy: EVIL, ALL_PROXY: EVIL, HOLYSHEEP_BASE_URL: EVIL,
  $proxy: { http: { name: 'x', url: EVIL } }, http: { name: 'x', url: EVIL }, https: { name: 'x', url: EVIL },
  endpoints: [{ baseUrl: EVIL, apiKey: 'sk-evil-0123456789' }], apiKey: 'sk-evil-0123456789',
  headers: { 'x-evil': '1' }, method: 'PUT', body: 'evil', keepalive: true, window: {}, coalesce: true,
  // Aborts as soon as somebody listens.
  signal: { aborted: false, addEventListener: (_type, listener) => listener(), removeEventListener() {} },
  stream: true, stream_options: { include_usage: true }, toJSON: () => 'evil', recovery: { mode: 'fail' },
  model: 'evil', fallbackModels: ['evil'], sessionId: 'evil', sendSessionId: 'both', idempotencyKey: 'evil',
  client: 'evil', fetch: () => { throw new Error('evil') }, messages: [], tools: [{}], redirect: 'error',
  onEvent: () => { throw new Error('evil') }, call: { headers: { 'x-evil': '1' } },
})[name] ?? 'evil'
`

/** Sends requests in all ways, and prints how they end. */
const CALLS = `
import { CircuitBreaker, HolySheepAIClient, HolySheepRetryManager, HolySheepStreamingClient, RateLimitedClient,
  ResilientStreamingClient, RetryAIManager } from './index.mjs'
import { createFetch } from './fetch.mjs'
import { createHolySheep } from './ai-sdk.mjs'
const [, origin] = [0, process.env.ORIGIN]
const plain = (error) => String(error?.message ?? error)
const report = []
const PLATFORM = ['fetch embeddings', 'fetch get', 'fetch without init', 'fetch request']
async function attempt(name, act) {
  try { report.push([name, await act()]) } catch (error) { report.push([name, plain(error)]) }
}
// Made before anything is polluted: Node's constructor reads the prototype too.
const sent = new Request(origin + '/v1/models')
async function calls() {
  const messages = [{ role: 'user', content: 'x', nested: { a: [1, { b: 2 }] } }]
  const request = { messages }
  const options = { baseUrl: origin + '/v1', apiKey: 'sk-good-0123456789', maxRetries: 0 }
  const call = { idempotencyKey: 'i-1', sessionId: 's-1' }
  const client = new HolySheepStreamingClient(options)
  await attempt('chat', async () => (await client.chat(request, call)).choices[0].message.content)
  await attempt('stream', () => client.stream(request, call).text())
  await attempt('no options', () => client.stream({ ...request, model: 'm' }, { sessionId: 's', idempotencyKey: 'i' }).text())
  await attempt('executeStream', () => client.executeStream(messages, () => {}, call))
  await attempt('models', () => client.models())
  await attempt('healthCheck', async () => (await client.healthCheck()).map(({ healthy }) => healthy))
  await client.close()
  const nested = new HolySheepStreamingClient('sk-good-0123456789', {
    endpoints: [{ baseUrl: origin + '/v1', name: 'a', rateLimit: {}, circuitBreaker: {} }],
    recovery: {}, cost: {}, retry: {}, hedge: {}, circuitBreaker: {}, rateLimit: {}, maxRetries: 0,
  })
  await attempt('nested', () => nested.stream(request, { ...call, recovery: {}, retry: {} }).text())
  await nested.close()
  const limited = new RateLimitedClient('sk-good-0123456789', { ...options, apiKey: undefined, capacity: 9, refillRate: 9 })
  await attempt('limited', () => limited.stream(request, call).text())
  await limited.close()
  const resilient = new ResilientStreamingClient('sk-good-0123456789', { baseUrl: origin + '/v1' })
  await attempt('resilient', () => resilient.streamSession('m', messages, 's-1'))
  await resilient.close()
  for (const [name, make] of [
    ['ai client', () => new HolySheepAIClient('sk-good-0123456789', { endpoints: [origin + '/v1'] })],
    ['retry manager', () => new HolySheepRetryManager('sk-good-0123456789', { baseUrl: origin + '/v1' })],
    ['ai manager', () => new RetryAIManager('sk-good-0123456789', {}, { baseUrl: origin + '/v1' })],
  ]) {
    await attempt(name, async () => {
      const wrapper = make()
      if (name === 'retry manager') await wrapper.executeWithRetry({ model: 'm', messages }, call)
      else if (name === 'ai manager') await wrapper.callWithRetry(messages, 'm', undefined, call)
      else await wrapper.chatCompletion("m", messages, call)
      await wrapper.close()
    })
  }
  await attempt('breaker', () => new CircuitBreaker({ failureThreshold: 2 }).execute(async () => 1))
  const fetch = createFetch({ maxRetries: 0 })
  const headers = { 'content-type': 'application/json', authorization: 'Bearer sk-good-0123456789', 'idempotency-key': 'i-1' }
  // An array literal has \`toJSON\` of the prototype too, so the caller's JSON is written by hand.
  const json = '"messages":[{"role":"user","content":"x"}]'
  const post = (body) => ({ method: 'POST', headers, body: '{"model":"m",' + body + '}' })
  await attempt('fetch chat', async () => (await fetch(origin + '/v1/chat/completions', post(json))).status)
  await attempt('fetch stream', async () => (await fetch(origin + '/v1/chat/completions', post(json + ',"stream":true'))).text())
  await attempt('fetch responses', async () => (await fetch(origin + '/v1/responses', post('"input":"x"'))).status)
  await attempt('fetch embeddings', async () => (await fetch(origin + '/v1/embeddings', post('"input":"x"'))).status)
  await attempt('fetch get', async () => (await fetch(origin + '/v1/models', { headers })).status)
  await attempt('fetch without init', async () => (await fetch(origin + '/v1/models')).status)
  await attempt('fetch request', async () => (await fetch(sent)).status)
  await fetch.close()
  const { languageModel, client: own } = createHolySheep({ ...options })
  await attempt('ai-sdk', async () =>
    (await languageModel('m').doGenerate({ prompt: [{ role: 'user', content: [{ type: 'text', text: 'x' }] }],
      providerOptions: { holysheep: { call } } })).content.length)
  await own.close()
}
`

const chunk = JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content: 'ok' }, finish_reason: 'stop' }] })
const completion = JSON.stringify({
  id: 'c',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
})
/** Ids that differ in each request. */
const RANDOM = /\b(?:req|key|sess|session|call)_[\w-]+|127\.0\.0\.1:\d+|(?<=sec-fetch-mode\n)\w+/g

test('with any name polluted, the same requests reach the same server', async (t) => {
  const requests = []
  const server = createServer(async (req, res) => {
    let body = ''
    for await (const part of req) body += part
    requests.push(`${req.method} ${req.url}\n${req.rawHeaders.join('\n')}\n${body}`.replace(RANDOM, '?'))
    const streamed = body.includes('"stream":true')
    res.setHeader('content-type', streamed ? 'text/event-stream' : 'application/json')
    if (req.method === 'GET') res.end('{"data":[]}')
    else res.end(streamed ? `data: ${chunk}\n\ndata: [DONE]\n\n` : completion)
  })
  const origin = await listen(t, server)
  const evil = { connections: 0 }
  const other = createSocketServer((socket) => {
    evil.connections++
    socket.destroy()
  })
  const EVIL = await listen(t, other)
  const env = { ORIGIN: origin, EVIL, HOLYSHEEP_API_KEY: '', HOLYSHEEP_BASE_URL: '', HTTP_PROXY: '', HTTPS_PROXY: '' }
  // The server learns between two rounds which name is polluted.
  const rounds = []
  const script = `${POISON}${CALLS}
    const names = ${JSON.stringify(names())}
    const INIT = ${JSON.stringify(INIT)}
    const load = () => calls()
    await load()
    const expected = JSON.stringify(report.splice(0))
    const net = await import('node:http')
    const mark = (name) => new Promise((resolve) => net.request(origin + '/mark', { method: 'POST' }, (res) => res.resume().on('end', resolve)).end(name))
    await mark('')
    for (const name of names) {
      const known = Object.getOwnPropertyDescriptor(Object.prototype, name)
      if (known) continue
      const value = poison(name)
      Object.defineProperty(Object.prototype, name, { __proto__: null, value, enumerable: true, configurable: true, writable: true })
      await load().catch((error) => report.push(['threw', plain(error)]))
      delete Object.prototype[name]
      // Node's own \`fetch\` may fail for what it reads from the prototype besides its options, but sends nothing else.
      if (!INIT.includes(name)) for (const entry of report) if (PLATFORM.includes(entry[0])) entry[1] = 200
      const got = JSON.stringify(report.splice(0))
      await mark(got === expected ? name : name + ' ' + got)
    }
    process.stdout.write(expected, () => process.exit(0))`
  const { code, stdout, stderr } = await node(['--no-warnings', '--input-type=module', '-e', script], { env })
  assert.equal(code, 0, stderr)
  assert.match(stdout, /"chat","ok"/)
  let round = []
  for (const request of requests) {
    const mark = request.startsWith('POST /mark')
    if (!mark) round.push(request)
    else {
      rounds.push([request.slice(request.lastIndexOf('\n') + 1), round])
      round = []
    }
  }
  const [[, expected], ...polluted] = rounds
  assert.ok(expected.length > 15 && polluted.length > 150, `${expected.length} requests, ${polluted.length} names`)
  const isPart = (sent) => {
    const rest = [...expected]
    return sent.every((request) => rest.includes(request) && rest.splice(0, rest.indexOf(request) + 1))
  }
  const ofEngine = (list) => list.filter((request) => request.includes('x-client-request-id')).join('\0')
  const differing = polluted.filter(
    ([name, sent]) => name.includes(' ') || ofEngine(sent) !== ofEngine(expected) || !isPart(sent),
  )
  const shown = differing.map(([name, sent]) => [name.slice(0, 600), sent.filter((one, at) => one !== expected[at])[0]])
  assert.deepEqual(shown, [])
  assert.equal(evil.connections, 0)
})

test('what an options object inherits is no option', () => {
  class Options {
    get apiKey() {
      return 'sk-inherited-0123456789'
    }
  }
  for (const options of [new Options(), Object.create({ apiKey: 'sk-inherited-0123456789' })]) {
    assert.throws(() => new HolySheepStreamingClient({ ...options, baseUrl: undefined, apiKey: undefined }), /apiKey/)
    options.endpoints = [{ baseUrl: 'http://127.0.0.1:1/v1', name: 'a' }]
    assert.notEqual(new HolySheepStreamingClient(options).apiKey, 'sk-inherited-0123456789')
  }
})
