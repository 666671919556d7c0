// Responses and Messages, as their own SDKs see them: through the engine, a provider that breaks off is none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fetchOf, PROGRAMS, raw, WHOLE } from './support/dialects.mjs'
import { ANSWER, failure, PIECES, pair } from './support/provider.mjs'

for (const [dialect, programs] of Object.entries(PROGRAMS)) {
  for (const [name, run] of Object.entries(programs)) {
    test(`${name}: what the simulator sends is what the SDK expects, and the engine changes none of it`, async (t) => {
      const { simulator, client } = await pair(t)
      const direct = await run(simulator.url)
      assert.ok(JSON.stringify(direct).includes('text') || direct.length > 0)
      assert.deepEqual(await run(simulator.url, fetchOf(client)), direct)
      assert.equal(simulator.requests.length, 2)
    })

    test(`${name}: an answer that is cut at any event is the uncut one`, async (t) => {
      const { simulator, client } = await pair(t, { retryBudget: false })
      const whole = await run(simulator.url)
      const bytes = await raw(simulator.url, dialect)
      const ends = []
      for (let at = bytes.indexOf('\n\n'); at !== -1; at = bytes.indexOf('\n\n', at + 2)) ends.push(at + 2)
      assert.ok(ends.length > PIECES.length)
      for (const afterBytes of [0, ...ends.slice(0, -1)]) {
        simulator.script({ cut: { afterBytes, how: 'noFinish' } })
        assert.deepEqual(await run(simulator.url, fetchOf(client)), whole, `cut after ${afterBytes} bytes`)
      }
    })

    test(`${name}: an answer that is cut twice, and whose rest repeats some of it, is the uncut one`, async (t) => {
      const { simulator, client } = await pair(t)
      const whole = await run(simulator.url)
      simulator.script(
        { cut: { afterPieces: 3, how: 'errorEvent' } },
        { cut: { afterPieces: 2, how: 'reset' }, onContinue: 'overlap', overlapChars: 8 },
        { onContinue: 'word' },
      )
      assert.deepEqual(await run(simulator.url, fetchOf(client)), whole)
      assert.equal(client.metrics().recoveries, 2)
    })
  }
}

for (const [dialect, run] of Object.entries(WHOLE)) {
  test(`${dialect}: an answer in one piece is retried and passes as it is`, async (t) => {
    const { simulator, client } = await pair(t)
    const direct = await run(simulator.url)
    assert.ok(JSON.stringify(direct).includes(JSON.stringify(ANSWER).slice(1, -1)))
    simulator.script({ status: 529 }, { status: 500 }, { cut: { how: 'reset' } })
    assert.deepEqual(await run(simulator.url, fetchOf(client)), direct)
    assert.equal(simulator.requests.length, 5)
  })

  test(`${dialect}: overload, limits and errors in the stream are retried before the first text`, async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 5 })
    const run = Object.values(PROGRAMS[dialect])[0]
    const direct = await run(simulator.url)
    const named = { cut: { afterPieces: 0, how: 'errorEventNamed' } }
    simulator.script({ status: 529 }, { status: 429, retryAfterMs: 5 }, named, {
      cut: { afterPieces: 0, how: 'errorEvent' },
    })
    assert.deepEqual(await run(simulator.url, fetchOf(client)), direct)
    assert.equal(client.metrics().attempts, 5)
  })

  test(`${dialect}: a tool call passes, and a break inside it is an error that says so`, async (t) => {
    const toolCalls = [{ id: 'call_1', name: 'weather', arguments: { city: 'Huế' } }]
    const { simulator, client } = await pair(t, {}, { default: { text: 'One moment.', toolCalls } })
    const run = Object.values(PROGRAMS[dialect])[0]
    const direct = await run(simulator.url)
    assert.ok(JSON.stringify(direct).includes('weather'))
    assert.deepEqual(await run(simulator.url, fetchOf(client)), direct)
    const bytes = String(await raw(simulator.url, dialect))
    const inside = bytes.search(
      /event: (response.function_call_arguments.done|content_block_stop)\ndata: .*(Hu|"index":1)/,
    )
    simulator.script({ cut: { afterBytes: Buffer.byteLength(bytes.slice(0, inside)), how: 'noFinish' } })
    const error = await failure(run(simulator.url, fetchOf(client)))
    assert.match(JSON.stringify([error.message, error.cause?.message]), /more than text was sent/)
  })

  test(`${dialect}: reasoning passes`, async (t) => {
    const { simulator, client } = await pair(t, {}, { default: { pieces: PIECES, reasoning: 'Let me see.' } })
    for (const run of Object.values(PROGRAMS[dialect])) {
      assert.deepEqual(await run(simulator.url, fetchOf(client)), await run(simulator.url))
    }
  })
}

test('an abort ends the call upstream', async (t) => {
  const { simulator, client } = await pair(t, {}, { default: { pieces: PIECES, paceMs: 50 } })
  const abort = new AbortController()
  const body = JSON.stringify({ model: 'm', input: 'hi', stream: true })
  const response = await fetchOf(client)('http://x/v1/responses', { body, signal: abort.signal })
  const reader = response.body.getReader()
  await reader.read()
  abort.abort()
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
  }, /abort/)
  assert.equal(simulator.requests.length, 1)
})

test('what a call in another dialect costs is in the same ledger', async (t) => {
  const { client } = await pair(t, { cost: { prices: { m: { input: 1, output: 1 } } } })
  const body = JSON.stringify({
    model: 'm',
    max_tokens: 100,
    messages: [{ role: 'user', content: 'hi' }],
    stream: true,
  })
  await (await fetchOf(client)('http://x/v1/messages', { body })).text()
  const first = client.cost().spentUsd
  assert.ok(first > 0)
  await client.chat({ model: 'm', messages: [{ role: 'user', content: 'hi' }] })
  assert.ok(client.cost().spentUsd > first)
})
