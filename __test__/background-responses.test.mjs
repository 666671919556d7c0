// Background responses of /v1/responses: a stream that breaks is read on from the provider, which keeps it.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createOpenAI } from '@ai-sdk/openai'
import { streamText } from 'ai'
import OpenAI from 'openai'
import { HolySheepStreamingClient } from '../index.mjs'
import { fetchOf } from './support/dialects.mjs'
import { KEY, provider, QUICK } from './support/provider.mjs'

const SCENARIO = {
  reasoning: 'Sheep are counted at the gate, one by one.',
  text: 'One sheep, two sheep, two sheep, 三只羊, 🐑🐑. “Schäfchen”!',
  toolCalls: [{ id: 'call_1', name: 'count', arguments: { herd: 'Huế', times: [1, 2] } }],
  chunkChars: 3,
  seed: 7,
}

const REQUEST = { model: 'm', input: 'Count the sheep.', background: true, stream: true }

const openai = (url, fetch) => new OpenAI({ apiKey: KEY, baseURL: url, maxRetries: 0, ...(fetch && { fetch }) })

async function collect(stream) {
  const events = []
  for await (const event of stream) events.push(event)
  return events
}

const create = async (url, fetch) => collect(await openai(url, fetch).responses.create(REQUEST))

/** Events without the clock. */
const timeless = (events) => JSON.parse(JSON.stringify(events, (key, value) => (key === 'created_at' ? 0 : value)))

/** The id and the other random parts of an answer follow from its seed and its number, so each request gets its own simulator. */
async function uncut(t) {
  const simulator = await provider(t, { default: SCENARIO })
  const response = await fetch(`${simulator.url}/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
    body: JSON.stringify(REQUEST),
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  const events = bytes
    .toString()
    .trim()
    .split('\n\n')
    .map((event) => JSON.parse(event.slice(event.indexOf('data: ') + 6)))
  return { bytes, events }
}

/** The places to cut: at the end of each event, in its middle, and before its last byte. */
function cuts(bytes) {
  const places = [0]
  for (let from = 0, end = bytes.indexOf('\n\n'); end !== -1; from = end + 2, end = bytes.indexOf('\n\n', from)) {
    places.push(Math.floor((from + end) / 2), end + 1, end + 2)
  }
  return places.filter((at) => at < bytes.length)
}

test('openai: a background response that is cut anywhere has the events of the uncut one', {
  timeout: 120_000,
}, async (t) => {
  const whole = await uncut(t)
  const expected = timeless(whole.events)
  assert.equal(expected.at(-1).type, 'response.completed')
  const engine = fetchOf(t, { retryBudget: false })
  for (const [number, afterBytes] of cuts(whole.bytes).entries()) {
    const simulator = await provider(t, { default: SCENARIO })
    const how = ['reset', 'close', 'noFinish'][number % 3]
    simulator.script({ ...SCENARIO, disconnect: { afterBytes, how } })
    const events = await create(simulator.url, engine)
    const place = `${how} after ${afterBytes} bytes`
    const methods = simulator.requests.map((request) => request.method)
    // Without the first event there is no response to ask for, and the last one is complete without its empty line.
    const isKept = methods[1] !== 'POST'
    if (isKept) assert.deepEqual(timeless(events), expected, place)
    else assert.ok(afterBytes < whole.bytes.indexOf('\n\n') + 2, `${place}: ${methods}`)
    assert.equal(methods.filter((method) => method === 'POST').length, isKept ? 1 : 2, place)
    const { path, headers, method } = simulator.requests.at(-1)
    if (method === 'GET') {
      assert.match(path, /^\/v1\/responses\/resp_\w+\?stream=true(&starting_after=\d+)?$/)
      assert.equal(headers.authorization, `Bearer ${KEY}`)
    }
    await simulator.close()
  }
})

test('openai: a rest that breaks is read on too, byte for byte', async (t) => {
  const whole = await uncut(t)
  const simulator = await provider(t, { default: SCENARIO })
  const engine = fetchOf(t, { retryBudget: false, recovery: { maxRecoveries: 100 } })
  const cut = (afterBytes, how) => ({ ...SCENARIO, disconnect: { afterBytes, how } })
  simulator.script(
    cut(2500, 'reset'),
    cut(1500, 'noFinish'),
    cut(10, 'close'),
    cut(900, 'reset'),
    cut(2000, 'errorEvent'),
  )
  assert.deepEqual(timeless(await create(simulator.url, engine)), timeless(whole.events))
  assert.equal(simulator.requests.filter((request) => request.method === 'POST').length, 1)
  assert.equal(simulator.requests.length, 6)
})

test('openai: a response that is retrieved as a stream passes through, from any event on', async (t) => {
  const whole = await uncut(t)
  const simulator = await provider(t, { default: SCENARIO })
  const client = openai(simulator.url, fetchOf(t))
  const events = await collect(await client.responses.create(REQUEST))
  const { id } = events[0].response
  const rest = await collect(await client.responses.retrieve(id, { stream: true, starting_after: 9 }))
  assert.deepEqual(timeless(rest), timeless(whole.events.slice(10)))
  const retrieved = await client.responses.retrieve(id)
  assert.equal(retrieved.status, 'completed')
  assert.equal((await client.responses.cancel(id)).status, 'cancelled')
  await assert.rejects(client.responses.retrieve('resp_unknown'), (error) => error.status === 404)
})

test('openai: a background response that is not streamed is passed on as it is, and polled', async (t) => {
  const simulator = await provider(t, { default: SCENARIO })
  const client = openai(simulator.url, fetchOf(t))
  const queued = await client.responses.create({ ...REQUEST, stream: false })
  assert.deepEqual([queued.status, queued.output], ['queued', []])
  const done = await client.responses.retrieve(queued.id)
  assert.equal(done.output_text, SCENARIO.text)
  assert.equal(simulator.requests.length, 2, 'an answer without content is not requested again')
})

test('ai: streamText with a background response that is cut equals the uncut one', async (t) => {
  const program = async (url, fetch) => {
    // The AI SDK has no option for it.
    const background = (input, init) =>
      fetch(input, { ...init, body: JSON.stringify({ ...JSON.parse(init.body), background: true, store: true }) })
    const model = createOpenAI({ apiKey: KEY, baseURL: url, fetch: background })('m')
    const result = streamText({ model, prompt: 'Count the sheep.', maxRetries: 0, onError() {} })
    const parts = []
    for await (const part of result.fullStream) {
      if (part.type === 'error') throw part.error
      parts.push(part)
    }
    const shown = parts.filter(({ type }) => /delta|tool-call/.test(type))
    return { shown, text: await result.text, reasoning: await result.reasoningText, finish: await result.finishReason }
  }
  const scenario = { ...SCENARIO, toolCalls: undefined }
  const direct = await provider(t, { default: scenario })
  const expected = await program(direct.url, fetch)
  assert.equal(expected.text, SCENARIO.text)
  const engine = fetchOf(t, { retryBudget: false })
  for (let afterBytes = 1800; afterBytes < 9000; afterBytes += 411) {
    const simulator = await provider(t, { default: scenario })
    simulator.script({ ...scenario, disconnect: { afterBytes, how: 'reset' } })
    assert.deepEqual(await program(simulator.url, engine), expected, `cut after ${afterBytes} bytes`)
    await simulator.close()
  }
})

for (const [kept, status] of [
  ['no', 404],
  ['document', 400],
]) {
  test(`a response that is gone (${status}) is continued in another way, and no text comes twice`, async (t) => {
    const scenario = { text: SCENARIO.reasoning, chunkChars: 3 }
    const simulator = await provider(t, { default: scenario })
    const engine = fetchOf(t, { recovery: { assurance: 'any' } })
    simulator.script({ ...scenario, kept, disconnect: { afterChunks: 6, how: 'reset' } })
    const events = await create(simulator.url, engine)
    const text = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
    assert.equal(text, scenario.text)
    assert.deepEqual(
      simulator.requests.map(({ method }) => method),
      ['POST', 'GET', 'POST'],
    )
    assert.equal(events.at(-1).response.output[0].content[0].text, scenario.text)
  })
}

test('a tool call that was cut off and is gone is an error with a snapshot', async (t) => {
  const simulator = await provider(t, { default: SCENARIO })
  const engine = fetchOf(t)
  const { bytes } = await uncut(t)
  const afterBytes = bytes.indexOf('event: response.function_call_arguments.done')
  simulator.script({ ...SCENARIO, kept: 'no', disconnect: { afterBytes, how: 'reset' } })
  const error = await create(simulator.url, engine).then(
    () => assert.fail('it should fail'),
    (error) => error,
  )
  let cause = error
  while (cause && cause.code !== 'STREAM_INTERRUPTED') cause = cause.cause
  assert.equal(cause?.partial, SCENARIO.text)
  assert.match(cause.snapshot.response.id, /^resp_/)
})

test('an abort ends the stream at once, and the response goes on at the provider', async (t) => {
  const simulator = await provider(t, { default: { ...SCENARIO, chunkDelayMs: 5 } })
  const controller = new AbortController()
  const client = openai(simulator.url, fetchOf(t))
  const stream = await client.responses.create(REQUEST, { signal: controller.signal })
  let id
  await assert.rejects(async () => {
    for await (const event of stream) {
      id ??= event.response?.id
      if (event.type === 'response.output_text.delta') controller.abort()
    }
    throw new DOMException('left', 'AbortError')
  })
  assert.equal((await client.responses.retrieve(id)).output_text, SCENARIO.text)
  assert.equal(simulator.requests.length, 2)
})

test('another process reads the stream on from a snapshot, without another generation', async (t) => {
  const simulator = await provider(t, { default: SCENARIO })
  const fail = { status: 503 }
  simulator.script({ ...SCENARIO, disconnect: { afterChunks: 25, how: 'reset' } }, fail, fail)
  const error = await create(simulator.url, fetchOf(t, { recovery: { maxRecoveries: 2 } })).then(
    () => assert.fail('it should fail'),
    (error) => error,
  )
  let cause = error
  while (cause && cause.snapshot === undefined) cause = cause.cause
  const { snapshot } = cause
  assert.equal(snapshot.dialect, 'responses')
  assert.ok(snapshot.response.sequenceNumber > 10)
  const program = `
    import { HolySheepStreamingClient } from ${JSON.stringify(new URL('../index.mjs', import.meta.url).href)}
    const [url, key, json] = process.argv.slice(1)
    const client = new HolySheepStreamingClient({ baseUrl: url, apiKey: key })
    const stream = client.resume(JSON.parse(json))
    let rest = ''
    for await (const text of stream.textStream) rest += text
    const { text, joins, costUsd } = await stream.result
    console.log(JSON.stringify({ rest, text, tiers: joins.map((join) => join.tier) }))
  `
  const run = promisify(execFile)
  const args = ['--input-type=module', '-e', program, simulator.url, KEY, JSON.stringify(snapshot)]
  const { stdout } = await run(process.execPath, args)
  const { rest, text, tiers } = JSON.parse(stdout)
  assert.equal(snapshot.answer.text + rest, SCENARIO.text)
  assert.equal(text, SCENARIO.text)
  assert.deepEqual(tiers, ['resume'])
  assert.equal(simulator.requests.at(-1).method, 'GET')
  assert.equal(simulator.requests.filter(({ method }) => method === 'POST').length, 1)
})

test('the rest of a response is read as text, and not as chat chunks', async (t) => {
  const simulator = await provider(t, { default: SCENARIO })
  const client = new HolySheepStreamingClient({ baseUrl: simulator.url, apiKey: KEY, ...QUICK })
  t.after(() => client.close())
  const response = { id: 'resp_1', sequenceNumber: 3, endpoint: 'x' }
  const snapshot = { version: 1, sessionId: 's', dialect: 'responses', response, answer: { text: '', deltas: 0 } }
  const stream = client.resume(snapshot, { model: 'm', input: 'x', background: true })
  assert.throws(() => stream[Symbol.asyncIterator](), /no chat chunks here/)
  assert.throws(() => client.resume({ ...snapshot, dialect: 'smoke' }, REQUEST), /dialect/)
})
