// Errors in a chunk that also has choices or usage, at any point of an answer; and fields of one answer in two places.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pair, REQUEST } from './support/provider.mjs'
import { assertFailure, assertText, chunk, STOP } from './support/wire.mjs'

const TEXT = [chunk({ role: 'assistant', content: 'Xin ' }), chunk({ content: 'chào' })]
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
const NO_REPEAT = { maxRetries: 0, recovery: false }
const base = (status_code, status_msg) => ({ base_resp: { status_code, status_msg } })
const groq = (error) => ({ x_groq: { id: 'r', error } })

describe('an error beside choices or usage is an error', () => {
  for (const [name, events, pattern] of [
    [
      'MiniMax, no choices after the stop',
      [...TEXT, STOP, { choices: [], ...base(1027, 'output sensitive') }],
      /sensitive/,
    ],
    ['MiniMax, in the chunk with the stop', [...TEXT, { ...STOP, ...base(1013, 'engine fault') }], /engine fault/],
    [
      'MiniMax, in the chunk with the usage',
      [...TEXT, STOP, { ...chunk({}), choices: [], usage: USAGE, ...base(1013, 'engine fault') }],
      /engine fault/,
    ],
    [
      'MiniMax, beside text',
      [...TEXT, chunk({ content: '!' }, null, base(1000, 'unknown fault')), STOP],
      /unknown fault/,
    ],
    [
      'MiniMax, beside usage of nothing',
      [{ choices: null, usage: { total_tokens: 0 }, ...base(1004, 'login fail') }],
      /login fail/,
    ],
    [
      'DashScope',
      [{ choices: [], code: 'Arrearage', message: 'the account is in arrears', request_id: 'x' }],
      /in arrears/,
    ],
    ['vLLM', [{ object: 'error', message: 'not loaded', type: 'NotFoundError', code: 404, choices: [] }], /not loaded/],
    [
      'vLLM, after the stop',
      [...TEXT, STOP, { object: 'error', choices: [], code: 500, message: 'engine died' }],
      /engine died/,
    ],
    [
      'a relay, beside a role',
      [chunk({ role: 'assistant' }, null, { code: 503, message: 'no channel' }), STOP],
      /no channel/,
    ],
    [
      'Cloudflare',
      [{ success: false, errors: [{ code: 3040, message: 'no capacity' }], usage: null, choices: [] }],
      /no capacity/,
    ],
    ['Groq, in the chunk with the stop', [...TEXT, { ...STOP, ...groq('over_capacity') }], /over_capacity/],
    [
      'Groq, in a chunk of its own',
      [...TEXT, STOP, { ...chunk({}), choices: [], ...groq('over_capacity') }],
      /over_capacity/,
    ],
    ['a relay, in the delta', [...TEXT, chunk({ error: { message: 'lost the model' } }, 'stop')], /lost the model/],
  ]) {
    test(name, (t) => assertFailure(t, [{ events }], pattern, NO_REPEAT))
  }
  for (const [name, body, pattern] of [
    ['MiniMax', { id: 'x', choices: [], ...base(1008, 'insufficient balance') }, /insufficient balance/],
    [
      'MiniMax, beside an empty message',
      {
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: '' }, finish_reason: 'stop' }],
        ...base(1013, 'engine fault'),
      },
      /engine fault/,
    ],
    [
      'vLLM, beside usage',
      { object: 'error', message: 'engine died', code: 500, usage: { total_tokens: 0 } },
      /engine died/,
    ],
  ]) {
    for (const type of ['application/json', 'text/event-stream']) {
      test(`${name}, a document as ${type}`, (t) =>
        assertFailure(t, [{ body, headers: { 'content-type': type } }], pattern, NO_REPEAT))
    }
  }
  test('MiniMax, no balance: not asked again', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ events: [{ choices: [], ...base(1008, 'insufficient balance') }] })
    await assert.rejects(client.chat(REQUEST), { code: 'QUOTA_EXHAUSTED' })
    assert.equal(simulator.requests.length, 1)
  })
})

describe('a status of success is not an error', () => {
  for (const [name, more] of Object.entries({
    MiniMax: base(0, ''),
    'MiniMax, in words': base(0, 'success'),
    iFlytek: { code: 0, message: 'Success', sid: 's' },
    Groq: { x_groq: { id: 'r', error: null } },
    'relays in Go': { error: null, code: '', message: '' },
  })) {
    test(name, (t) => {
      const events = [...TEXT, STOP, { ...chunk({}), choices: [], usage: USAGE }].map((event) => ({
        ...event,
        ...more,
      }))
      return assertText(t, [{ events }], 'Xin chào')
    })
  }
})

describe('a message beside a delta that says nothing is the text', () => {
  for (const [name, delta] of Object.entries({
    'a role': { role: 'assistant' },
    'an empty text': { role: 'assistant', content: '' },
    null: { content: null },
  })) {
    for (const [field, value] of Object.entries({
      message: { role: 'assistant', content: 'Xin chào' },
      text: 'Xin chào',
    })) {
      test(`${name}, and a ${field}`, (t) => {
        const choice = { index: 0, delta, [field]: value, finish_reason: 'stop' }
        return assertText(t, [{ events: [{ ...chunk({}), choices: [choice] }] }], 'Xin chào')
      })
    }
  }
})

test('a list as an object by index (a relay in PHP)', (t) => {
  const choice = (delta, finish_reason = null) => ({ 0: { index: 0, delta, finish_reason } })
  const events = [
    choice({ content: 'Xin ' }),
    choice({ content: { 0: { type: 'text', text: 'chào' } } }),
    {},
    choice({}, 'stop'),
  ]
  return assertText(t, [{ events: events.map((choices) => ({ ...chunk({}), choices })) }], 'Xin chào')
})
