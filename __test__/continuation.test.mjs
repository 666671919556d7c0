// Providers that continue the answer themselves (`continuation`), the probe, and answers that nobody has a part of yet.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { HolySheepStreamingClient } from 'holysheep'
import { createFetch } from 'holysheep/fetch'
import { node, root } from './support/child.mjs'
import { KEY, provider } from './support/provider.mjs'

const MESSAGES = [{ role: 'user', content: 'Hi' }]
const REQUEST = { messages: MESSAGES }
const RETRY = { baseDelayMs: 1, jitter: 'none' }
const BIN = join(root, 'bin/holysheep.js')
const FORMS = ['assistant', 'continue_final_message', 'prefix', 'partial']

/** Answers that repeat themselves honestly: what an overlap rule would drop. */
const TEXTS = {
  list: '- salt\n- salt\n- salt\n- pepper\n- salt\n- salt\n',
  table: '| a | b |\n| - | - |\n| 1 | 1 |\n| 1 | 1 |\n\n| a | b |\n| - | - |\n| 1 | 1 |\n',
  refrain: 'La la la, the sheep go by.\n\nLa la la, the sheep go by.\n\nLa la la, the sheep go by.\n',
  code: 'if (a) {\n    if (b) {\n        x()\n    }\n    }\n}\n}\n}\n',
  chinese: '天天天天向上，天天天天向上。天天天天向上。',
}

/** The sentence of the probe. A simulator that answers with it answers the probe like a model. */
const SENTENCE = 'The old lighthouse keeper hung a moonbasket above the green door.'

const clientOf = (t, simulator, options = {}) => {
  const client = new HolySheepStreamingClient('key', { baseUrl: simulator.url, retry: RETRY, ...options })
  t.after(() => client.close())
  return client
}

for (const [name, text] of Object.entries(TEXTS)) {
  test(`${name}: cut anywhere, it is continued to the character with one more request`, async (t) => {
    const letters = [...text]
    const simulator = await provider(t)
    for (let cut = 1; cut < letters.length; cut++) {
      const continues = FORMS[cut % FORMS.length]
      const chunks = [letters.slice(0, cut).join(''), letters.slice(cut).join('')]
      simulator.reset()
      simulator.setDefault({ text, continues })
      simulator.script({ chunks, disconnect: { afterChunks: 1, how: 'close' } })
      const stream = clientOf(t, simulator, { continuation: continues, retryBudget: false }).stream(REQUEST)
      let delivered = ''
      for await (const delta of stream.textStream) delivered += delta
      assert.equal(delivered, text, `cut after ${JSON.stringify(chunks[0])}`)
      const { recoveries, joins } = await stream.result
      assert.equal(simulator.requests.length, 2)
      assert.equal(recoveries, 1)
      assert.deepEqual([joins[0].kind, joins[0].tier], ['exact', 'native'])
    }
  })
}

for (const status of [400, 422]) {
  test(`a form that is rejected with ${status} is replaced, and not sent by later calls`, async (t) => {
    const simulator = await provider(t, { default: { text: 'one two three', rejectAssistantTail: status } })
    const client = clientOf(t, simulator, { continuation: 'partial' })
    for (const requests of [3, 2]) {
      simulator.clear()
      simulator.script({ chunks: ['one ', 'two three'], disconnect: { afterChunks: 1, how: 'reset' } })
      const stream = client.stream(REQUEST)
      let delivered = ''
      for await (const delta of stream.textStream) delivered += delta
      assert.equal(delivered, 'one two three')
      assert.equal(simulator.requests.length, requests)
      assert.equal((await stream.result).recoveries, 1)
    }
  })
}

describe('an answer that nobody has a part of yet', () => {
  const WAYS = {
    chat: async (client) => (await client.chat(REQUEST)).choices[0].message.content,
    'text()': (client) => client.stream(REQUEST).text(),
    createFetch: async (_client, simulator, options) => {
      const fetch = createFetch({ retry: RETRY, ...options })
      const body = JSON.stringify({ model: 'm', messages: MESSAGES })
      const response = await fetch(`${simulator.url}/chat/completions`, { method: 'POST', body })
      return (await response.json()).choices[0].message.content
    },
  }
  for (const [way, ask] of Object.entries(WAYS)) {
    test(`${way}: it is requested again, or continued by the provider`, async (t) => {
      for (const [options, isContinued] of [
        [{}, false],
        [{ continuation: 'prefix' }, true],
        [{ continuation: 'prefix', recovery: { buffered: 'restart' } }, false],
        [{ recovery: { buffered: 'continue' } }, true],
      ]) {
        const simulator = await provider(t, { default: { text: 'one two three', continues: 'prefix' } })
        simulator.script({ chunks: ['one ', 'two three'], disconnect: { afterChunks: 1, how: 'reset' } })
        assert.equal(await ask(clientOf(t, simulator, options), simulator, options), 'one two three')
        const [first, second] = simulator.requests.map(({ json }) => json.messages)
        assert.equal(simulator.requests.length, 2)
        if (isContinued) assert.equal(second[1].content.trim(), 'one')
        else assert.deepEqual(second, first)
      }
    })
  }
})

describe('probeContinuation', () => {
  for (const form of FORMS) {
    test(`${form} is found, and used from then on`, async (t) => {
      const simulator = await provider(t, { answer: SENTENCE, default: { continues: form } })
      const client = clientOf(t, simulator, { model: 'm' })
      const [{ continuation, forms, ...route }] = await client.probeContinuation()
      assert.deepEqual([continuation, forms.at(-1).outcome], [form, 'continued'])
      assert.deepEqual(route, { endpoint: new URL(simulator.url).host, model: 'm' })
      assert.equal(forms.length, FORMS.indexOf(form) + 1)
      assert.equal(client.metrics().successes, simulator.requests.length)
      simulator.clear()
      const text = 'one two three'
      simulator.setDefault({ text, continues: form })
      simulator.script({ chunks: ['one ', 'two three'], disconnect: { afterChunks: 1, how: 'reset' } })
      const stream = client.stream(REQUEST)
      assert.equal(await stream.text(), text)
      assert.equal((await stream.result).joins[0].tier, 'native')
    })
  }

  test('a server that opens a new turn has none, and one that rejects the form too', async (t) => {
    for (const [scenario, outcome] of [
      [{ continues: 'none' }, 'new-turn'],
      [{ rejectAssistantTail: 422 }, 'rejected'],
    ]) {
      const simulator = await provider(t, { answer: SENTENCE, default: scenario })
      const [{ continuation, forms }] = await clientOf(t, simulator).probeContinuation()
      assert.equal(continuation, 'none')
      assert.deepEqual(
        forms.map((form) => form.outcome),
        Array(4).fill(outcome),
      )
    }
  })

  test('the dialect of Anthropic has a form of its own', async (t) => {
    const simulator = await provider(t, { answer: SENTENCE, default: {} })
    const client = clientOf(t, simulator)
    const [{ continuation, forms }] = await client.probeContinuation({ dialect: 'messages', models: ['claude-x'] })
    assert.deepEqual([continuation, forms.length], ['assistant', 1])
    assert.ok(simulator.requests.every(({ path }) => path.endsWith('/messages')))
  })

  test('a failure is part of the result, and an abort is not', async (t) => {
    const simulator = await provider(t, { apiKey: 'another-key' })
    const client = clientOf(t, simulator)
    const [{ continuation, forms }] = await client.probeContinuation()
    assert.equal(continuation, null)
    assert.deepEqual(
      [forms.length, forms[0].outcome, forms[0].status, forms[0].code],
      [1, 'failed', 401, 'AUTH_FAILED'],
    )
    assert.ok(!JSON.stringify(forms).includes('"key"'))
    const reason = new Error('no time')
    await assert.rejects(client.probeContinuation({ signal: AbortSignal.abort(reason) }), reason)
    simulator.setDefault({ hang: true })
    const abort = new AbortController()
    const probe = client.probeContinuation({ signal: abort.signal })
    abort.abort(reason)
    await assert.rejects(probe, reason)
  })

  test('invalid options are named', async (t) => {
    const client = clientOf(t, await provider(t))
    for (const [options, message] of [
      [{ endpoints: [] }, /^endpoints: got an empty array; accepted: an array of names of endpoints, at least one$/],
      [{ endpoints: ['x'] }, /^endpoints: got 'x'; accepted: names of endpoints: '127\.0\.0\.1:\d+'$/],
      [{ models: 'm' }, /^models: got 'm' \(a string\); accepted: an array of model names/],
      [{ dialect: 'responses' }, /^dialect: got 'responses' \(a string\); accepted: 'chat', 'messages'$/],
      [{ form: 'prefix' }, /form/],
    ]) {
      await assert.rejects(client.probeContinuation(options), (error) => {
        assert.equal(error.code, 'INVALID_ARGUMENT')
        assert.match(error.message, message)
        return true
      })
    }
  })
})

describe('holysheep doctor --continuation', () => {
  const doctor = (simulator, ...args) =>
    node([BIN, 'doctor', '--continuation', ...args], {
      env: { HOLYSHEEP_API_KEY: KEY, HOLYSHEEP_BASE_URL: simulator.url, HTTP_PROXY: '', ALL_PROXY: '' },
    })

  test('says what to set', async (t) => {
    const simulator = await provider(t, { answer: SENTENCE, default: { continues: 'prefix' } })
    const { code, stdout } = await doctor(simulator, '--model', 'my-model')
    assert.equal(code, 0, stdout)
    assert.match(stdout, /^ok {4}continuation {8}my-model: continued by the provider/m)
    assert.match(stdout, /Set continuation: 'prefix' for this endpoint\./)
  })

  test('warns if the provider opens a new turn, and has the result in JSON', async (t) => {
    const simulator = await provider(t, { answer: SENTENCE, default: { continues: 'none' } })
    const { code, stdout } = await doctor(simulator, '--json')
    const { ok, checks, continuation } = JSON.parse(stdout)
    assert.deepEqual([code, ok, continuation.continuation, continuation.model], [0, true, 'none', 'gpt-4.1'])
    const { ok: isFound, detail } = checks.find(({ name }) => name === 'continuation')
    assert.equal(isFound, null)
    assert.match(detail, /assistant: a new turn, “The old lighthouse/)
  })

  test('fails if a request fails, and asks no model without the option', async (t) => {
    const simulator = await provider(t, { default: { status: 400 } })
    const { code, stdout } = await doctor(simulator)
    assert.equal(code, 1, stdout)
    assert.match(stdout, /^FAIL {2}continuation/m)
    assert.match(stdout, /Check --model/)
    const usage = await node([BIN, 'doctor', '--model', 'm'])
    assert.deepEqual([usage.code, usage.stderr], [2, 'holysheep: --model needs --continuation\n'])
  })
})
