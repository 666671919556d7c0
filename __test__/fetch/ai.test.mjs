// The AI SDK with `fetch` changed and nothing else, against a provider over sockets.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'
import { createFetch } from '../../fetch.mjs'
import { CircuitOpenError, CostCapError, StreamInterruptedError } from '../../index.mjs'
import { ANSWER, CHUNKS, failure, KEY, provider, QUICK, until } from '../support/provider.mjs'

const CUT = { afterChunks: 2, how: 'reset' }

/** The SDK's model on a provider; what is given goes into `createFetch`. */
async function sdk(t, options, scenario = { chunks: CHUNKS }) {
  const simulator = await provider(t, { default: scenario })
  const fetch = createFetch({ ...QUICK, ...options })
  t.after(() => fetch.close())
  const supportsStructuredOutputs = true
  const compatible = createOpenAICompatible({
    name: 'provider',
    apiKey: KEY,
    baseURL: simulator.url,
    includeUsage: true,
    supportsStructuredOutputs,
    fetch,
  })
  return { simulator, model: compatible('gpt-4.1') }
}

const weather = () =>
  tool({
    description: 'The weather',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => ({ city, degrees: 31 }),
  })
const CALLS = {
  chunks: ['I will ', 'look.'],
  toolCalls: [{ id: 'call_1', name: 'weather', arguments: { city: 'Huế' } }],
}

describe('a provider that cuts every stream once', () => {
  test('gives whole texts', async (t) => {
    const { model, simulator } = await sdk(t)
    simulator.script({ chunks: CHUNKS, disconnect: CUT }, { chunks: CHUNKS }, { chunks: CHUNKS, disconnect: CUT })
    const { text, finishReason, usage } = await generateText({ model, prompt: 'x', maxRetries: 0 })
    assert.deepEqual([text, finishReason], [ANSWER, 'stop'])
    assert.ok(usage.totalTokens > 0)
    const stream = streamText({ model, prompt: 'x', maxRetries: 0 })
    const pieces = []
    for await (const piece of stream.textStream) pieces.push(piece)
    assert.equal(pieces.join(''), ANSWER)
    assert.ok(pieces.length > 2)
    assert.equal(await stream.finishReason, 'stop')
    assert.ok((await stream.usage).totalTokens > 0)
    assert.equal(simulator.requests.length, 4)
  })

  test('gives whole tool calls, and the answer after them', async (t) => {
    const { model, simulator } = await sdk(t)
    const answer = { chunks: CHUNKS }
    for (let run = 0; run < 2; run++) {
      simulator.script({ ...CALLS, disconnect: CUT }, CALLS, { ...answer, disconnect: CUT }, answer)
    }
    const options = { model, prompt: 'x', tools: { weather: weather() }, stopWhen: stepCountIs(2), maxRetries: 0 }
    const whole = await generateText(options)
    assert.equal(whole.text, ANSWER)
    assert.deepEqual(whole.steps[0].toolResults[0].output, { city: 'Huế', degrees: 31 })
    const stream = streamText(options)
    await stream.consumeStream()
    assert.equal(await stream.text, ANSWER)
    const [first] = await stream.steps
    assert.equal(first.text, 'I will look.')
    assert.deepEqual(first.toolCalls[0].input, { city: 'Huế' })
    assert.equal(simulator.requests.length, 8)
  })

  test('gives structured output that fits its schema', async (t) => {
    const pieces = ['{"city":', '"Huế","deg', 'rees":31}']
    const { model, simulator } = await sdk(t)
    const whole = { chunks: pieces, onContinue: 'restart' }
    simulator.script({ chunks: pieces, disconnect: CUT }, whole, { chunks: pieces, disconnect: CUT }, whole)
    const schema = z.object({ city: z.string(), degrees: z.number() })
    const options = { model, prompt: 'x', output: Output.object({ schema }), maxRetries: 0 }
    assert.deepEqual((await generateText(options)).output, { city: 'Huế', degrees: 31 })
    const stream = streamText(options)
    await stream.consumeStream()
    assert.deepEqual(await stream.output, { city: 'Huế', degrees: 31 })
  })
})

test('reasoning is reasoning', async (t) => {
  const { model } = await sdk(t, {}, { chunks: CHUNKS, reasoning: 'hm, well' })
  const { text, reasoningText } = await generateText({ model, prompt: 'x' })
  assert.deepEqual([text, reasoningText], [ANSWER, 'hm, well'])
  const stream = streamText({ model, prompt: 'x' })
  await stream.consumeStream()
  assert.deepEqual([await stream.text, await stream.reasoningText], [ANSWER, 'hm, well'])
})

test('an abort ends the stream upstream', async (t) => {
  const { model, simulator } = await sdk(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
  const controller = new AbortController()
  const stream = streamText({ model, prompt: 'x', abortSignal: controller.signal, onError: () => {} })
  for await (const _ of stream.textStream) controller.abort()
  await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
  assert.equal(simulator.requests.length, 1)
})

describe('errors', () => {
  test('of the provider have its status, and are retried by the engine alone', async (t) => {
    const scenario = { status: 429, retryAfterMs: 1, body: { error: { message: 'slow down' } } }
    const { model, simulator } = await sdk(t, { maxRetries: 1 }, scenario)
    const thrown = await failure(generateText({ model, prompt: 'x', maxRetries: 0 }))
    assert.ok(APICallError.isInstance(thrown))
    assert.deepEqual([thrown.statusCode, thrown.message, thrown.isRetryable], [429, 'slow down', true])
    assert.equal(thrown.responseHeaders['retry-after-ms'], '1')
    assert.equal(simulator.requests.length, 2)
  })

  test('of the network are its own, and lead to ours', async (t) => {
    const { model, simulator } = await sdk(t, { maxRetries: 0 })
    await simulator.close()
    const thrown = await failure(generateText({ model, prompt: 'x', maxRetries: 0 }))
    assert.ok(APICallError.isInstance(thrown))
    assert.equal(thrown.cause.code, 'ECONNREFUSED')
  })

  test('of our own decision are ours, and are not asked again', async (t) => {
    const { model, simulator } = await sdk(t, { cost: { hardCapUsd: 0.000001 } })
    const thrown = await failure(generateText({ model, prompt: 'x', maxOutputTokens: 1000 }))
    assert.ok(thrown instanceof CostCapError, String(thrown))
    assert.equal(simulator.requests.length, 0)

    const breaking = await sdk(t, { circuitBreaker: { failureThreshold: 1 }, maxRetries: 0 }, { status: 500 })
    await failure(generateText({ model: breaking.model, prompt: 'x', maxRetries: 0 }))
    const open = await failure(generateText({ model: breaking.model, prompt: 'x' }))
    assert.ok(open instanceof CircuitOpenError, String(open))
    assert.equal(breaking.simulator.requests.length, 1)
  })

  test('in the middle of a stream are told after what was received', async (t) => {
    const { model } = await sdk(t, { recovery: false }, { chunks: CHUNKS, disconnect: CUT })
    const stream = streamText({ model, prompt: 'x', maxRetries: 0, onError: () => {} })
    const pieces = []
    const read = async () => {
      for await (const part of stream.fullStream) if (part.type === 'text-delta') pieces.push(part.text)
    }
    let error = await failure(read())
    assert.equal(pieces.join(''), CHUNKS.slice(0, 2).join(''))
    while (error && !(error instanceof StreamInterruptedError)) error = error.cause
    assert.equal(error?.partial, pieces.join(''))
  })
})
