// The AI SDK with only its `fetch` replaced, against a provider over sockets.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'
import { createFetch } from '../../fetch.mjs'
import { CircuitOpenError, CostCapError, StreamInterruptedError } from '../../index.mjs'
import { ANSWER, CHUNKS, failure, KEY, provider, QUICK, until } from '../support/provider.mjs'

const RESET = { afterChunks: 2, how: 'reset' }

/** A simulator and a model of the SDK that talks to it; `options` are those of `createFetch`. */
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

describe('with a provider that interrupts every stream once', () => {
  test('texts are complete', async (t) => {
    const { model, simulator } = await sdk(t)
    simulator.script({ chunks: CHUNKS, disconnect: RESET }, { chunks: CHUNKS }, { chunks: CHUNKS, disconnect: RESET })
    const { text, finishReason, usage } = await generateText({ model, prompt: 'x', maxRetries: 0 })
    assert.deepEqual([text, finishReason], [ANSWER, 'stop'])
    assert.ok(usage.totalTokens > 0)
    const stream = streamText({ model, prompt: 'x', maxRetries: 0 })
    const texts = []
    for await (const text of stream.textStream) texts.push(text)
    assert.equal(texts.join(''), ANSWER)
    assert.ok(texts.length > 2)
    assert.equal(await stream.finishReason, 'stop')
    assert.ok((await stream.usage).totalTokens > 0)
    assert.equal(simulator.requests.length, 4)
  })

  test('tool calls and the answer after them are complete', async (t) => {
    const { model, simulator } = await sdk(t)
    const answer = { chunks: CHUNKS }
    for (let run = 0; run < 2; run++) {
      simulator.script({ ...CALLS, disconnect: RESET }, CALLS, { ...answer, disconnect: RESET }, answer)
    }
    const options = { model, prompt: 'x', tools: { weather: weather() }, stopWhen: stepCountIs(2), maxRetries: 0 }
    const generated = await generateText(options)
    assert.equal(generated.text, ANSWER)
    assert.deepEqual(generated.steps[0].toolResults[0].output, { city: 'Huế', degrees: 31 })
    const stream = streamText(options)
    await stream.consumeStream()
    assert.equal(await stream.text, ANSWER)
    const [first] = await stream.steps
    assert.equal(first.text, 'I will look.')
    assert.deepEqual(first.toolCalls[0].input, { city: 'Huế' })
    assert.equal(simulator.requests.length, 8)
  })

  test('structured output matches its schema', async (t) => {
    const chunks = ['{"city":', '"Huế","deg', 'rees":31}']
    const { model, simulator } = await sdk(t)
    const restart = { chunks, onContinue: 'restart' }
    simulator.script({ chunks, disconnect: RESET }, restart, { chunks, disconnect: RESET }, restart)
    const schema = z.object({ city: z.string(), degrees: z.number() })
    const options = { model, prompt: 'x', output: Output.object({ schema }), maxRetries: 0 }
    assert.deepEqual((await generateText(options)).output, { city: 'Huế', degrees: 31 })
    const stream = streamText(options)
    await stream.consumeStream()
    assert.deepEqual(await stream.output, { city: 'Huế', degrees: 31 })
  })
})

test('reasoning is separate from the text', async (t) => {
  const { model } = await sdk(t, {}, { chunks: CHUNKS, reasoning: 'hm, well' })
  const { text, reasoningText } = await generateText({ model, prompt: 'x' })
  assert.deepEqual([text, reasoningText], [ANSWER, 'hm, well'])
  const stream = streamText({ model, prompt: 'x' })
  await stream.consumeStream()
  assert.deepEqual([await stream.text, await stream.reasoningText], [ANSWER, 'hm, well'])
})

test('an abort cancels the upstream request', async (t) => {
  const { model, simulator } = await sdk(t, {}, { chunks: CHUNKS, disconnect: { afterChunks: 2, how: 'stall' } })
  const controller = new AbortController()
  const stream = streamText({ model, prompt: 'x', abortSignal: controller.signal, onError: () => {} })
  for await (const _ of stream.textStream) controller.abort()
  await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
  assert.equal(simulator.requests.length, 1)
})

describe('errors', () => {
  test('from the provider keep its status and are retried by the engine only', async (t) => {
    const scenario = { status: 429, retryAfterMs: 1, body: { error: { message: 'slow down' } } }
    const { model, simulator } = await sdk(t, { maxRetries: 1 }, scenario)
    const thrown = await failure(generateText({ model, prompt: 'x', maxRetries: 0 }))
    assert.ok(APICallError.isInstance(thrown))
    assert.deepEqual([thrown.statusCode, thrown.message, thrown.isRetryable], [429, 'slow down', true])
    assert.equal(thrown.responseHeaders['retry-after-ms'], '1')
    assert.equal(simulator.requests.length, 2)
  })

  test('from the network are those of the SDK, with the code of ours as the cause', async (t) => {
    const { model, simulator } = await sdk(t, { maxRetries: 0 })
    await simulator.close()
    const thrown = await failure(generateText({ model, prompt: 'x', maxRetries: 0 }))
    assert.ok(APICallError.isInstance(thrown))
    assert.equal(thrown.cause.code, 'ECONNREFUSED')
  })

  test('from the cost cap and the circuit breaker are ours and are not retried', async (t) => {
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

  test('mid-stream follow the text received so far', async (t) => {
    const { model } = await sdk(t, { recovery: false }, { chunks: CHUNKS, disconnect: RESET })
    const stream = streamText({ model, prompt: 'x', maxRetries: 0, onError: () => {} })
    const texts = []
    const read = async () => {
      for await (const part of stream.fullStream) if (part.type === 'text-delta') texts.push(part.text)
    }
    let error = await failure(read())
    assert.equal(texts.join(''), CHUNKS.slice(0, 2).join(''))
    while (error && !(error instanceof StreamInterruptedError)) error = error.cause
    assert.equal(error?.partial, texts.join(''))
  })
})
