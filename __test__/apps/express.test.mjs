// examples/express, started as a user would start it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import compression from 'compression'
import OpenAI from 'openai'
import { HolySheepStreamingClient } from '../../index.mjs'
import { startSimulator } from '../../simulator.mjs'
import { APPS, start, until } from './support.mjs'

const MESSAGES = [{ role: 'user', content: 'Hi' }]
const ANSWER = /^When a provider disconnects .* in order\. Xin chào! 🐑$/

const run = (t, env) =>
  start(t, process.execPath, ['server.mjs'], { cwd: join(APPS, 'express'), env: { PORT: '0', ...env } })

const post = (url, body) =>
  fetch(`${url}/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

/** The body and the text of an event stream, and the number of reads it took. */
async function read(response) {
  let [body, reads] = ['', 0]
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    body += text
    reads++
  }
  const text = [...body.matchAll(/^data: (\{.*)$/gm)]
    .map(([, json]) => JSON.parse(json).choices?.[0]?.delta.content ?? '')
    .join('')
  return { body, text, reads }
}

const metric = async (url, name) =>
  Number((await (await fetch(`${url}/metrics`)).text()).match(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm'))?.[1])

test('a chat is streamed, and the openai package can read it', async (t) => {
  const { url } = await run(t)
  const response = await post(url, { messages: MESSAGES })
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const { body, text, reads } = await read(response)
  assert.match(text, ANSWER)
  assert.ok(reads > 5, `${reads} reads`)
  assert.ok(body.endsWith('data: [DONE]\n\n'))

  const openai = new OpenAI({
    apiKey: 'none',
    baseURL: url,
    fetch: (address, init) => fetch(String(address).replace('/chat/completions', '/chat'), init),
  })
  let received = ''
  for await (const chunk of await openai.chat.completions.create({ model: 'x', messages: MESSAGES, stream: true })) {
    received += chunk.choices[0]?.delta.content ?? ''
  }
  assert.equal(received, text)
})

test('an interrupted answer is complete, and the metrics count the recovery', async (t) => {
  const { url } = await run(t, { FAULT: 'disconnect' })
  const answers = await Promise.all([1, 2, 3].map(async () => read(await post(url, { messages: MESSAGES }))))
  for (const { text } of answers) assert.match(text, ANSWER)
  assert.ok((await metric(url, 'holysheep_recoveries_total')) >= 1)
})

test('the fault route makes the provider fail, and the client receives the status', async (t) => {
  const { url } = await run(t)
  for (const [fault, status] of [
    ['outage', 502],
    // Its Retry-After outlasts the test.
    ['busy', 429],
  ]) {
    await fetch(`${url}/fault/${fault}`, { method: 'PUT' })
    const response = await post(url, { messages: MESSAGES })
    assert.equal(response.status, status)
    assert.equal(typeof (await response.json()).error.message, 'string')
  }
  assert.equal((await fetch(`${url}/fault/nonsense`, { method: 'PUT' })).status, 404)
})

test('an invalid request is a 400 with a reason', async (t) => {
  const { url } = await run(t)
  for (const body of [{ messages: 5 }, {}, '{"mess', '[]']) {
    const response = await post(url, body)
    assert.equal(response.status, 400, JSON.stringify(body))
    assert.equal((await response.json()).error.type, 'invalid_request_error')
  }
})

test('the call is aborted when the browser disconnects', async (t) => {
  const { url } = await run(t)
  const response = await post(url, { messages: MESSAGES })
  const reader = response.body.getReader()
  await reader.read()
  assert.equal((await (await fetch(`${url}/health`)).json()).inFlight, 1)
  await reader.cancel()
  await until(async () => (await (await fetch(`${url}/health`)).json()).inFlight === 0, 'the end of the call')
  assert.equal(await metric(url, 'holysheep_calls_total\\{outcome="aborted"\\}'), 1)
})

test('SIGTERM stops new requests, lets open streams finish and exits with 0', async (t) => {
  const { url, child, exited } = await run(t, { FAULT: 'disconnect' })
  const response = await post(url, { messages: MESSAGES })
  child.kill('SIGTERM')
  await until(
    () =>
      fetch(`${url}/health`, { headers: { connection: 'close' } }).then(
        () => false,
        () => true,
      ),
    'the refusal of connections',
  )
  const { text, body } = await read(response)
  assert.match(text, ANSWER)
  assert.ok(body.endsWith('data: [DONE]\n\n'))
  assert.deepEqual(await exited, [0, null])
})

test('streams still open after the grace period receive an error, and the exit code is 0', async (t) => {
  const { url, child, exited } = await run(t, { FAULT: 'slow', GRACE_MS: '300' })
  const answered = post(url, { messages: MESSAGES })
  await until(async () => (await (await fetch(`${url}/health`)).json()).inFlight === 1)
  child.kill('SIGTERM')
  const response = await answered
  assert.equal(response.status, 503)
  assert.equal((await response.json()).error.code, 'CLIENT_CLOSED')
  assert.deepEqual(await exited, [0, null])
})

const GUIDE = readFileSync(new URL('../../docs/express.md', import.meta.url), 'utf8')
for (const [index, [, program]] of [...GUIDE.matchAll(/^```js\n([\s\S]*?)^```$/gm)].entries()) {
  test(`program ${index + 1} of docs/express.md runs unchanged`, async (t) => {
    const simulator = await startSimulator({ answer: 'Xin chào 🐑' })
    t.after(() => simulator.close())
    const env = { PORT: '0', HOLYSHEEP_API_KEY: 'no-key-needed', HOLYSHEEP_BASE_URL: simulator.url }
    const args = ['--input-type=module', '-e', program]
    const { url } = await start(t, process.execPath, args, { cwd: join(APPS, 'express'), env })
    assert.equal((await read(await post(url, { messages: MESSAGES }))).text, 'Xin chào 🐑')
    const plain = await fetch(`${url}/chat`, { method: 'POST', body: 'not JSON' })
    for (const response of [
      plain,
      ...(await Promise.all([{ messages: 'x' }, {}, '{"mess'].map((body) => post(url, body)))),
    ]) {
      assert.equal(response.status, 400)
      assert.equal((await response.json()).error.type, 'invalid_request_error')
    }
  })
}

for (const [name, cacheControl, encoding] of [
  ['leaves events uncompressed', undefined, null],
  ['is flushed when the app lets it compress them', 'no-cache', 'gzip'],
]) {
  test(`the compression middleware ${name}`, async (t) => {
    const simulator = await startSimulator({
      default: { chunks: ['Xin ', 'chào'], disconnect: { afterChunks: 1, how: 'stall' } },
    })
    t.after(() => simulator.close())
    const client = new HolySheepStreamingClient('no-key-needed', { baseUrl: simulator.url })
    const outcomes = []
    const server = createServer((req, res) => {
      compression({ threshold: 0 })(req, res, async () => {
        if (cacheControl) res.setHeader('cache-control', cacheControl)
        outcomes.push(await client.stream({ messages: MESSAGES }).pipe(res))
      })
    }).listen(0, '127.0.0.1')
    t.after(() => server.close())
    await once(server, 'listening')
    const response = await fetch(`http://127.0.0.1:${server.address().port}`)
    assert.equal(response.headers.get('content-encoding'), encoding)
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    for (let body = ''; !body.includes('Xin '); ) body += (await reader.read()).value
    await reader.cancel()
    await until(() => outcomes.length === 1)
    assert.deepEqual(outcomes, [{ outcome: 'disconnected' }])

    simulator.setDefault({ chunks: ['Xin ', 'chào'] })
    const complete = await fetch(`http://127.0.0.1:${server.address().port}`)
    assert.equal((await read(complete)).text, 'Xin chào')
    await until(() => outcomes.length === 2)
    assert.equal(outcomes[1].outcome, 'complete')
  })
}
