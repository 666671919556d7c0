// `holysheep/ai-sdk` with the AI SDK.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import {
  createProviderRegistry,
  generateText,
  NoSuchModelError,
  Output,
  readUIMessageStream,
  stepCountIs,
  streamText,
  tool,
} from 'ai'
import { z } from 'zod'
import { createHolySheep } from '../../ai-sdk.mjs'
import {
  HolySheepStreamingClient,
  RateLimitError,
  RetriesExhaustedError,
  StreamInterruptedError,
} from '../../index.mjs'
import { RESET, setup } from '../support/ai-sdk.mjs'
import { ANSWER, CHUNKS, failure, KEY, until } from '../support/provider.mjs'

const DIST = new URL('../../dist/ai-sdk/', import.meta.url)
const CALLS = {
  chunks: ['I will ', 'look.'],
  toolCalls: [
    { id: 'call_1', name: 'weather', arguments: { city: 'Huế' } },
    { id: 'call_2', name: 'weather', arguments: { city: 'Hà Nội' } },
  ],
}

const weather = (more) =>
  tool({
    description: 'The weather',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => ({ city, degrees: 31 }),
    ...more,
  })

async function partsOf(stream) {
  const parts = []
  for await (const part of stream.fullStream) parts.push(part)
  return parts
}

test('a non-streamed answer has its text, finish reason, usage and metadata', async (t) => {
  const { model, simulator } = await setup(t, {}, { chunks: CHUNKS, headers: { 'x-ratelimit-limit-requests': '5' } })
  simulator.script({ status: 503 })
  const { text, finishReason, usage, providerMetadata, response } = await generateText({ model, prompt: 'x' })
  assert.deepEqual([text, finishReason], [ANSWER, 'stop'])
  assert.ok(usage.inputTokens > 0 && usage.totalTokens === usage.inputTokens + usage.outputTokens)
  const { attempts, endpoint, model: by, requestId } = providerMetadata.holysheep
  assert.deepEqual([attempts, by, endpoint], [2, 'gpt-4.1', new URL(simulator.url).host])
  assert.equal(response.headers['x-request-id'], requestId)
  assert.equal(response.headers['x-ratelimit-limit-requests'], '5')
  assert.match(response.id, /^chatcmpl-/)
})

describe('with a provider that interrupts every stream once', () => {
  test('texts are complete', async (t) => {
    const { model, simulator } = await setup(t)
    simulator.script({ chunks: CHUNKS, disconnect: RESET })
    const stream = streamText({ model, prompt: 'x' })
    const texts = []
    for await (const text of stream.textStream) texts.push(text)
    assert.equal(texts.join(''), ANSWER)
    assert.ok(texts.length > 2)
    assert.equal(await stream.finishReason, 'stop')
    assert.ok((await stream.usage).totalTokens > 0)
    assert.equal((await stream.providerMetadata).holysheep.attempts, 2)
    assert.equal(simulator.requests.length, 2)
  })

  test('tool calls and the answer after them are complete', async (t) => {
    const { model, simulator } = await setup(t)
    for (let run = 0; run < 2; run++) {
      simulator.script(
        { ...CALLS, disconnect: RESET },
        CALLS,
        { chunks: CHUNKS, disconnect: RESET },
        { chunks: CHUNKS },
      )
    }
    const options = { model, prompt: 'x', tools: { weather: weather() }, stopWhen: stepCountIs(2) }
    const generated = await generateText(options)
    const streamed = streamText(options)
    await streamed.consumeStream()
    for (const { text, steps } of [generated, { text: await streamed.text, steps: await streamed.steps }]) {
      assert.equal(text, ANSWER)
      assert.equal(steps[0].text, 'I will look.')
      assert.equal(steps[0].finishReason, 'tool-calls')
      assert.deepEqual(
        steps[0].toolResults.map(({ output }) => output.city),
        ['Huế', 'Hà Nội'],
      )
    }
    const { messages } = simulator.requests[2].json
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'assistant', 'tool', 'tool'],
    )
    assert.deepEqual(JSON.parse(messages[2].content), { city: 'Huế', degrees: 31 })
    assert.equal(messages[1].tool_calls[1].id, messages[3].tool_call_id)
  })

  test('structured output matches its schema', async (t) => {
    const chunks = ['{"city":', '"Huế","deg', 'rees":31}']
    const { model, simulator } = await setup(t)
    const restart = { chunks, onContinue: 'restart' }
    simulator.script({ chunks, disconnect: RESET }, restart, { chunks, disconnect: RESET }, restart)
    const schema = z.object({ city: z.string(), degrees: z.number() })
    const options = { model, prompt: 'x', output: Output.object({ schema }) }
    assert.deepEqual((await generateText(options)).output, { city: 'Huế', degrees: 31 })
    const stream = streamText(options)
    await stream.consumeStream()
    assert.deepEqual(await stream.output, { city: 'Huế', degrees: 31 })
    const { response_format } = simulator.requests[0].json
    assert.deepEqual(Object.keys(response_format.json_schema.schema.properties), ['city', 'degrees'])
  })
})

test('tool input is streamed on request', async (t) => {
  const { model } = await setup(t, {}, CALLS)
  const deltas = []
  const tools = {
    weather: weather({ execute: undefined, onInputDelta: ({ inputTextDelta }) => deltas.push(inputTextDelta) }),
  }
  const buffered = await partsOf(streamText({ model, prompt: 'x', tools }))
  assert.equal(buffered.filter(({ type }) => type === 'tool-input-delta').length, 2)
  deltas.length = 0
  const providerOptions = { holysheep: { call: { toolCalls: 'stream' } } }
  const parts = await partsOf(streamText({ model, prompt: 'x', tools, providerOptions }))
  assert.ok(deltas.length > 2)
  assert.deepEqual(
    parts.filter(({ type }) => type === 'tool-call').map(({ toolCallId, input }) => [toolCallId, input]),
    CALLS.toolCalls.map(({ id, arguments: input }) => [id, input]),
  )
})

test('reasoning precedes the text in a separate block', async (t) => {
  const { model } = await setup(t, {}, { chunks: CHUNKS, reasoning: 'hm, well' })
  const { text, reasoningText } = await generateText({ model, prompt: 'x' })
  assert.deepEqual([text, reasoningText], [ANSWER, 'hm, well'])
  const stream = streamText({ model, prompt: 'x' })
  const kinds = (await partsOf(stream)).map(({ type }) => type).filter((type) => /-(start|end)$/.test(type))
  assert.deepEqual(kinds, ['reasoning-start', 'reasoning-end', 'text-start', 'text-end'])
  assert.deepEqual([await stream.text, await stream.reasoningText], [ANSWER, 'hm, well'])
})

test('a refusal is text with the finish reason content-filter', async (t) => {
  const { model } = await setup(t, {}, { chunks: [], refusal: 'I cannot.' })
  const { text, finishReason } = await generateText({ model, prompt: 'x' })
  assert.deepEqual([text, finishReason], ['I cannot.', 'content-filter'])
  const stream = streamText({ model, prompt: 'x' })
  await stream.consumeStream()
  assert.deepEqual([await stream.text, await stream.finishReason], ['I cannot.', 'content-filter'])
})

test('settings, files and provider options are sent', async (t) => {
  const { model, simulator } = await setup(t)
  const png = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  const { warnings } = await generateText({
    model,
    instructions: 'Be short.',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'file', data: png, mediaType: 'image' },
          { type: 'file', data: new URL('https://example.com/a.png'), mediaType: 'image/png' },
          { type: 'file', data: new TextEncoder().encode('%PDF'), mediaType: 'application/pdf', filename: 'a.pdf' },
        ],
      },
    ],
    maxOutputTokens: 50,
    temperature: 0,
    topK: 3,
    stopSequences: ['END'],
    reasoning: 'low',
    headers: { 'x-tenant': 'seven' },
    providerOptions: { holysheep: { call: { idempotencyKey: 'mine' }, body: { user: 'u-1', temperature: 0.5 } } },
  })
  const { json, headers } = simulator.requests[0]
  assert.deepEqual(json.messages[0], { role: 'system', content: 'Be short.' })
  assert.deepEqual(json.messages[1].content, [
    { type: 'text', text: 'What is this?' },
    { type: 'image_url', image_url: { url: `data:image/png;base64,${Buffer.from(png).toString('base64')}` } },
    { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
    { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERg==' } },
  ])
  const { max_tokens, temperature, stop, reasoning_effort, user } = json
  assert.deepEqual([max_tokens, temperature, stop, reasoning_effort, user], [50, 0.5, ['END'], 'low', 'u-1'])
  assert.deepEqual([headers['x-tenant'], headers['idempotency-key']], ['seven', 'mine'])
  assert.deepEqual(warnings, [{ type: 'unsupported', feature: 'topK' }])
})

test('useChat gets the complete message, tools included, from an interrupted stream', async (t) => {
  const { model, simulator } = await setup(t)
  simulator.script({ ...CALLS, disconnect: RESET }, CALLS, { chunks: CHUNKS, disconnect: RESET }, { chunks: CHUNKS })
  const stream = streamText({ model, prompt: 'x', tools: { weather: weather() }, stopWhen: stepCountIs(2) })
  const response = stream.toUIMessageStreamResponse()
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  const events = (await response.text())
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice(6)))
  let message
  const chunks = new ReadableStream({
    start(controller) {
      for (const event of events) controller.enqueue(event)
      controller.close()
    },
  })
  for await (message of readUIMessageStream({ stream: chunks }));
  const contents = message.parts
    .filter(({ type }) => type !== 'step-start')
    .map(({ text, output }) => text ?? output.city)
  assert.deepEqual(contents, ['I will look.', 'Huế', 'Hà Nội', ANSWER])
})

describe('an abort', () => {
  test('cancels the upstream request', async (t) => {
    const { model, simulator } = await setup(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
    const controller = new AbortController()
    const stream = streamText({ model, prompt: 'x', abortSignal: controller.signal })
    for await (const part of stream.fullStream) {
      if (part.type === 'text-delta') controller.abort()
      assert.notEqual(part.type, 'error')
    }
    await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
  })

  test('before the answer rejects with AbortError', async (t) => {
    const { model, simulator } = await setup(t, {}, { hang: true })
    const controller = new AbortController()
    const call = failure(generateText({ model, prompt: 'x', abortSignal: controller.signal }))
    await until(() => simulator.requests.length === 1)
    controller.abort()
    assert.equal((await call).name, 'AbortError')
    await until(() => simulator.requests[0].endedBy === 'client')
  })

  test('by the reader cancels the upstream request', async (t) => {
    const { model, simulator } = await setup(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
    const { stream } = await model.doStream({ prompt: [{ role: 'user', content: [{ type: 'text', text: 'x' }] }] })
    await stream.cancel()
    await until(() => simulator.requests[0].endedBy === 'client')
  })
})

describe('errors', () => {
  test('are our typed errors, and the AI SDK does not retry them', async (t) => {
    const { model, simulator } = await setup(t, { maxRetries: 1 }, { status: 429, retryAfterMs: 1 })
    const thrown = await failure(generateText({ model, prompt: 'x' }))
    assert.ok(thrown instanceof RetriesExhaustedError && thrown.cause instanceof RateLimitError)
    const reported = []
    const stream = streamText({ model, prompt: 'x', onError: ({ error }) => reported.push(error) })
    await stream.consumeStream()
    assert.ok(reported[0] instanceof RetriesExhaustedError)
    assert.equal(simulator.requests.length, 4)
  })

  test('mid-stream follow the text received so far', async (t) => {
    const { model } = await setup(t, { recovery: false }, { chunks: CHUNKS, disconnect: RESET })
    const parts = await partsOf(streamText({ model, prompt: 'x', onError: () => {} }))
    const text = parts.map((part) => (part.type === 'text-delta' ? part.text : '')).join('')
    assert.equal(text, CHUNKS.slice(0, 2).join(''))
    const { error } = parts.find(({ type }) => type === 'error')
    assert.ok(error instanceof StreamInterruptedError)
    assert.equal(error.partial, text)
    assert.equal(parts.at(-1).finishReason, 'error')
  })

  test('about invalid options and unsupported files name the cause', async () => {
    const client = new HolySheepStreamingClient(KEY)
    for (const [options, name] of [
      [{ client: 3 }, 'client'],
      [{ client, maxRetries: 1 }, 'maxRetries'],
      [{ structuredOutputs: 'yes' }, 'structuredOutputs'],
      [{ apiKey: KEY, nonsense: 1 }, 'nonsense'],
    ]) {
      assert.throws(
        () => createHolySheep(options),
        (error) => error.code === 'INVALID_ARGUMENT' && error.message.startsWith(`${name}: `),
        name,
      )
    }
    const model = createHolySheep({ client })('gpt-4.1')
    const content = [{ type: 'file', data: new Uint8Array(3), mediaType: 'video/mp4' }]
    const thrown = await failure(generateText({ model, messages: [{ role: 'user', content }] }))
    assert.match(thrown.message, /video\/mp4/)
    const providerOptions = { holysheep: { user: 'x' } }
    assert.match(
      (await failure(generateText({ model, prompt: 'x', providerOptions }))).message,
      /^user: unknown option/,
    )
  })
})

test('the provider loads without the AI SDK', () => {
  for (const name of readdirSync(DIST)) {
    assert.equal(/require\(["'](?:ai|@ai-sdk)/.test(readFileSync(new URL(name, DIST), 'utf8')), false, name)
  }
})

test('a given client is used and counts the call', async (t) => {
  const { simulator } = await setup(t)
  const client = new HolySheepStreamingClient(KEY, { baseUrl: simulator.url })
  t.after(() => client.close())
  const holysheep = createHolySheep({ client })
  const registry = createProviderRegistry({ holysheep })
  const { text } = await generateText({ model: registry.languageModel('holysheep:gpt-4.1'), prompt: 'x' })
  assert.equal(text, ANSWER)
  assert.equal(holysheep.client, client)
  await until(() => client.metrics().successes === 1)
  assert.throws(
    () => registry.embeddingModel('holysheep:any'),
    (error) => NoSuchModelError.isInstance(error),
  )
})
