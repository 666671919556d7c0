// The Responses and Messages dialects with their official SDKs: the engine hides a provider's interruptions.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fetchOf, NOT_STREAMED, PROGRAMS, raw } from './support/dialects.mjs'
import { ANSWER, CHUNKS, failure, KEY, provider, until } from './support/provider.mjs'

const metricsOf = (fetch) => [...fetch.clients.values()][0].metrics()

for (const [dialect, programs] of Object.entries(PROGRAMS)) {
  for (const [name, run] of Object.entries(programs)) {
    test(`${name}: the SDK accepts what the simulator sends, and the engine does not change it`, async (t) => {
      const simulator = await provider(t)
      const fetch = fetchOf(t)
      const direct = await run(simulator.url)
      assert.ok(JSON.stringify(direct).includes('text') || direct.length > 0)
      assert.deepEqual(await run(simulator.url, fetch), direct)
      assert.equal(simulator.requests.length, 2)
    })

    test(`${name}: an answer that is cut after any event equals the uncut one`, async (t) => {
      const simulator = await provider(t)
      const fetch = fetchOf(t, { retryBudget: false })
      const uncut = await run(simulator.url)
      const bytes = await raw(simulator.url, dialect)
      const ends = []
      for (let at = bytes.indexOf('\n\n'); at !== -1; at = bytes.indexOf('\n\n', at + 2)) ends.push(at + 2)
      assert.ok(ends.length > CHUNKS.length)
      for (const afterBytes of [0, ...ends.slice(0, -1)]) {
        simulator.script({ disconnect: { afterBytes, how: 'noFinish' } })
        assert.deepEqual(await run(simulator.url, fetch), uncut, `cut after ${afterBytes} bytes`)
      }
    })

    test(`${name}: an answer that is cut twice, with an overlapping continuation, equals the uncut one`, async (t) => {
      const simulator = await provider(t)
      const fetch = fetchOf(t)
      const uncut = await run(simulator.url)
      simulator.script(
        { disconnect: { afterChunks: 4, how: 'errorEvent' } },
        { disconnect: { afterChunks: 2, how: 'reset' }, onContinue: 'overlap', overlapChars: 20 },
        {},
      )
      assert.deepEqual(await run(simulator.url, fetch), uncut)
      // A call is counted when it ends, shortly after its last event. The tests below wait for that too.
      await until(() => metricsOf(fetch).successes === 1)
      assert.equal(metricsOf(fetch).recoveries, 2)
    })
  }
}

for (const [dialect, run] of Object.entries(NOT_STREAMED)) {
  test(`${dialect}: an answer that is not streamed is retried and forwarded unchanged`, async (t) => {
    const simulator = await provider(t)
    const fetch = fetchOf(t)
    const direct = await run(simulator.url)
    assert.ok(JSON.stringify(direct).includes(JSON.stringify(ANSWER).slice(1, -1)))
    simulator.script({ status: 529 }, { status: 500 }, { disconnect: { how: 'reset' } })
    assert.deepEqual(await run(simulator.url, fetch), direct)
    assert.equal(simulator.requests.length, 5)
  })

  test(`${dialect}: overload, rate limits and in-band errors before the first text are retried`, async (t) => {
    const simulator = await provider(t)
    const fetch = fetchOf(t, { maxRetries: 5 })
    const run = Object.values(PROGRAMS[dialect])[0]
    const direct = await run(simulator.url)
    const named = { disconnect: { afterChunks: 0, how: 'errorEventNamed' } }
    simulator.script({ status: 529 }, { status: 429, retryAfterMs: 5 }, named, {
      disconnect: { afterChunks: 0, how: 'errorEvent' },
    })
    assert.deepEqual(await run(simulator.url, fetch), direct)
    await until(() => metricsOf(fetch).successes === 1)
    assert.equal(metricsOf(fetch).attempts, 5)
  })

  test(`${dialect}: a tool call is forwarded, and a break inside it is reported as an error`, async (t) => {
    const toolCalls = [{ id: 'call_1', name: 'weather', arguments: { city: 'Huế' } }]
    const simulator = await provider(t, { default: { text: 'One moment.', toolCalls } })
    const fetch = fetchOf(t)
    const run = Object.values(PROGRAMS[dialect])[0]
    const direct = await run(simulator.url)
    assert.ok(JSON.stringify(direct).includes('weather'))
    assert.deepEqual(await run(simulator.url, fetch), direct)
    const bytes = String(await raw(simulator.url, dialect))
    const inside = bytes.search(
      /event: (response.function_call_arguments.done|content_block_stop)\ndata: .*(Hu|"index":1)/,
    )
    simulator.script({
      text: 'One moment.',
      toolCalls,
      disconnect: { afterBytes: Buffer.byteLength(bytes.slice(0, inside)), how: 'noFinish' },
    })
    const error = await failure(run(simulator.url, fetch))
    const chain = []
    for (let link = error; link; link = link.cause) chain.push(link.message)
    assert.match(chain.join('; '), /content other than text was sent/)
  })

  test(`${dialect}: reasoning is forwarded`, async (t) => {
    const simulator = await provider(t, { default: { chunks: CHUNKS, reasoning: 'Let me see.' } })
    const fetch = fetchOf(t)
    for (const run of Object.values(PROGRAMS[dialect])) {
      assert.deepEqual(await run(simulator.url, fetch), await run(simulator.url))
    }
  })
}

test('a native continuation is correct wherever in white space the cut falls', async (t) => {
  const chunks = ['One ', 'two.\n', '\n  Three ', ' four', '\n']
  const simulator = await provider(t, { default: { chunks } })
  const fetch = fetchOf(t, { continuation: 'assistant', retryBudget: false })
  const run = Object.values(PROGRAMS.messages)[0]
  const uncut = await run(simulator.url)
  for (let afterChunks = 1; afterChunks <= chunks.length; afterChunks++) {
    simulator.clear()
    simulator.script({ chunks, disconnect: { afterChunks, how: 'noFinish' } })
    assert.deepEqual(await run(simulator.url, fetch), uncut, `cut after ${afterChunks} chunks`)
    const { messages } = simulator.requests[1].json
    assert.deepEqual(messages[1], { role: 'assistant', content: chunks.slice(0, afterChunks).join('').trimEnd() })
    assert.equal(messages.length, 2)
  }
})

test('an abort ends the upstream request', async (t) => {
  const simulator = await provider(t, { default: { chunks: CHUNKS, chunkDelayMs: 10_000 } })
  const abort = new AbortController()
  const body = JSON.stringify({ model: 'm', input: 'hi', stream: true })
  const response = await fetchOf(t)(`${simulator.url}/responses`, { method: 'POST', body, signal: abort.signal })
  const reader = response.body.getReader()
  await reader.read()
  abort.abort()
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
  }, /abort/)
  assert.equal(simulator.requests.length, 1)
})

test('the cost of a call in another dialect is recorded in the same ledger', async (t) => {
  const simulator = await provider(t)
  const fetch = fetchOf(t, { cost: { prices: { m: { input: 1, output: 1 } } } })
  await PROGRAMS.messages['@anthropic-ai/sdk: messages.stream'](simulator.url, fetch)
  const [client] = fetch.clients.values()
  await until(() => client.metrics().successes === 1)
  const first = client.cost().spentUsd
  assert.ok(first > 0)
  await PROGRAMS.responses['openai: responses.stream'](simulator.url, fetch)
  await until(() => client.metrics().successes === 2)
  assert.ok(client.cost().spentUsd > first)
})

test("an SDK's key goes only to its own host, and a fallback endpoint gets its own key", async (t) => {
  const down = await provider(t, { default: { status: 401 } })
  const up = await provider(t)
  const fetch = fetchOf(t, { endpoints: [{ name: 'other', baseUrl: up.url, apiKey: 'sk-of-the-other-0123456789' }] })
  for (const run of Object.values(PROGRAMS.messages).toReversed()) {
    down.clear()
    up.clear()
    const healthy = await run(up.url)
    assert.deepEqual(await run(down.url, fetch), healthy)
    const [direct, fallback] = up.requests.map(({ headers }) => headers)
    assert.deepEqual(down.requests[0].headers['x-api-key'], direct['x-api-key'])
    assert.deepEqual(down.requests[0].headers.authorization, direct.authorization)
    assert.equal(fallback['x-api-key'], 'sk-of-the-other-0123456789')
    assert.ok(!JSON.stringify(fallback).includes(KEY))
    assert.equal(fallback['anthropic-version'], direct['anthropic-version'])
  }
})

test("an error has the SDK's own class, and the SDK does not retry it", async (t) => {
  const simulator = await provider(t, { default: { status: 529 } })
  const fetch = fetchOf(t, { maxRetries: 1 })
  const anthropic = await failure(Object.values(PROGRAMS.messages)[0](simulator.url, fetch))
  assert.equal(anthropic.status, 529)
  assert.match(anthropic.message, /overloaded_error/)
  const openai = await failure(Object.values(PROGRAMS.responses)[0](simulator.url, fetch))
  assert.equal(openai.status, 529)
  assert.equal(simulator.requests.length, 4)
})
