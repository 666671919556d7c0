// Finish reasons as providers send them: in other words, under other names, and as text for none at all.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pair, REQUEST } from './support/provider.mjs'
import { assertFailure, assertText, chunk, outcomes } from './support/wire.mjs'

const ROLE = chunk({ role: 'assistant', content: '' })
const text = (content) => chunk({ content })
const withChoice = (fields) => ({ ...chunk({}), choices: [{ index: 0, delta: {}, finish_reason: null, ...fields }] })

describe('an answer that a filter or a limit ended may be empty', () => {
  for (const [reason, provider] of Object.entries({
    content_filter: 'Azure',
    'content-filter': 'gateways of the AI SDK',
    PROHIBITED_CONTENT: 'Gemini',
    sensitive: 'Zhipu',
    guardrail_intervened: 'Bedrock',
    refusal: 'Anthropic',
    ERROR_TOXIC: 'Cohere',
    max_output_tokens: 'relays of Responses',
    model_context_window_exceeded: 'Z.ai',
  })) {
    test(`${reason} (${provider})`, (t) => assertText(t, [{ events: [ROLE, chunk({}, reason)] }], ''))
  }
})

describe('a tool call that a filter or a limit cut off is dropped', () => {
  for (const reason of ['length', 'model_length', 'max_output_tokens', 'content-filter']) {
    test(reason, async (t) => {
      const { simulator, client } = await pair(t)
      const call = { index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '{"x"' } }
      simulator.setDefault({ events: [text('Xin'), chunk({ tool_calls: [call] }), chunk({}, reason)] })
      const { choices } = await client.chat(REQUEST)
      assert.deepEqual([choices[0].message.content, choices[0].finish_reason], ['Xin', reason])
      assert.equal(choices[0].message.tool_calls, undefined)
    })
  }
})

describe('null as text is not a finish reason', () => {
  for (const reason of ['null', 'None', 'undefined']) {
    test(`${reason}, and the answer is interrupted`, (t) =>
      assertFailure(t, [{ events: [chunk({ content: 'Xin' }, reason)] }], /without a finish reason/, {
        maxRetries: 0,
        recovery: false,
      }))
    test(`${reason}, up to the end`, (t) =>
      assertText(t, [{ events: [chunk({ content: 'Xin' }, reason), chunk({ content: ' chào' }, 'stop')] }], 'Xin chào'))
  }
})

describe('a finish reason under another name', () => {
  for (const [name, fields] of Object.entries({
    'finishReason (Gemini)': { finishReason: 'stop' },
    'finish_details (OpenAI, vision preview)': { finish_details: { type: 'stop', stop: '<|end|>' } },
  })) {
    test(name, async (t) => {
      const scenario = { events: [text('Xin chào'), withChoice(fields)] }
      await assertText(t, [scenario], 'Xin chào')
      const { simulator, client } = await pair(t)
      simulator.setDefault(scenario)
      assert.equal((await client.chat(REQUEST)).choices[0].finish_reason, 'stop')
      const reasons = []
      for await (const { choices } of client.stream(REQUEST)) reasons.push(choices[0]?.finish_reason)
      assert.equal(reasons.at(-1), 'stop')
    })
  }
})

describe('every choice of a delivered chunk has a delta', () => {
  for (const [name, choice] of Object.entries({
    'a message without content (Perplexity)': { index: 0, message: {}, finish_reason: 'stop' },
    'no delta (Azure)': { index: 0, finish_reason: 'stop', content_filter_results: { hate: { filtered: false } } },
    'delta: null (one-api)': { index: 0, delta: null, finish_reason: 'stop' },
  })) {
    test(name, async (t) => {
      const { simulator, client } = await pair(t)
      simulator.setDefault({ events: [text('Xin chào'), { ...chunk({}), choices: [choice] }] })
      const chunks = []
      for await (const received of client.stream(REQUEST)) chunks.push(received.choices[0])
      const { delta, message, ...rest } = chunks.at(-1)
      const { delta: _delta, message: _message, ...sent } = choice
      assert.deepEqual([delta, message, rest], [{}, choice.message, sent])
    })
  }
})

test('an error that says nothing is not an error for the openai package either', async (t) => {
  for (const error of [{}, [], { code: 0, message: '' }]) {
    const events = [chunk({ content: 'Xin chào' }, null, { error }), chunk({}, 'stop', { error })]
    await assertText(t, [{ events }], 'Xin chào', { methods: ['overFetch'] })
  }
})

test('a whole answer without content is requested once more before anything is delivered', async (t) => {
  const body = {
    ...chunk({}),
    object: 'chat.completion',
    choices: [{ index: 0, message: { content: '' }, finish_reason: 'stop' }],
  }
  for await (const { method, error, deltas, requests } of outcomes(t, [{ body }])) {
    assert.match(`${error?.code} ${error?.cause?.code} ${error?.cause?.cause?.code}`, /EMPTY_ANSWER/, method)
    assert.deepEqual([method, deltas, requests], [method, [], 2])
  }
})

describe('a finish reason that says that the answer broke off is a break', () => {
  for (const [reason, provider] of Object.entries({
    'function_call_filter: MALFORMED_FUNCTION_CALL': 'Gemini, as OpenAI',
    MISSING_THOUGHT_SIGNATURE: 'Gemini',
    TOO_MANY_TOOL_CALLS: 'Gemini',
    content_filter_error: 'a filter that failed itself',
    rate_limit: 'a relay',
    rateLimitExceeded: 'a relay',
    resource_exhausted: 'gRPC',
    deadline_exceeded: 'gRPC',
    connection_closed: 'a relay',
    'server busy': 'a relay',
    terminated: 'undici',
    shutdown: 'an engine',
    preempted: 'an engine',
  })) {
    test(`${reason} (${provider})`, (t) =>
      assertFailure(t, [{ events: [text('Xin'), chunk({}, reason)] }], /interrupted the answer/, {
        maxRetries: 0,
        recovery: false,
      }))
  }
})
