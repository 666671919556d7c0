// Delivery of text to JavaScript: in bounded memory, with calls isolated from each other, and without timers that a test
// can fake.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { HolySheepStreamingClient } from 'holysheep'
import { node, run } from './support/child.mjs'
import { blockUntil, MESSAGES, pair } from './support/provider.mjs'

test('a retained delta keeps no other delta in memory', async () => {
  for (const text of ['twenty characters ok', 'hai mươi ký tự đó 🐑']) {
    const ended = await run(
      `
      simulator.setDefault({ text: ${JSON.stringify(text)}, chunkChars: 100, repeat: 10000 })
      const retained = []
      const stream = () => {
        let count = 0
        return client.streamWithRetry(messages, (delta) => void (++count % 50 === 0 && retained.push(delta)))
      }
      await stream()
      retained.length = 0
      gc()
      const before = process.memoryUsage().heapUsed
      await Promise.all(Array.from({ length: 16 }, stream))
      gc()
      const bytes = process.memoryUsage().heapUsed - before
      console.log(retained.length, retained.every((delta) => delta === ${JSON.stringify(text)}), bytes < 1_500_000 || bytes)
    `,
      { flags: ['--expose-gc'] },
    )
    assert.deepEqual([ended.stderr, ended.stdout], ['', '3200 true true\n'])
  }
})

test('a thousand streams with sleeping consumers do not use more memory over time', async () => {
  const ended = await run(
    `
    simulator.setDefault({ text: 'x'.repeat(1000), chunkChars: 1000, repeat: 100_000, chunkDelayMs: 1 })
    let release
    const gate = new Promise((resolve) => { release = resolve })
    let started = 0
    const calls = Array.from({ length: 1000 }, () => {
      let first = true
      return client.streamWithRetry(messages, () => { if (first) { first = false; started++ } return gate })
    })
    while (started < 1000) await new Promise((resolve) => setTimeout(resolve, 20))
    const sent = () => simulator.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
    // Wait until the sockets are full: nothing is sent for longer than a busy machine pauses.
    for (let before = -1, still = 0; still < 6; still = before === sent() ? still + 1 : 0) {
      before = sent()
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    gc()
    const before = process.memoryUsage()
    await new Promise((resolve) => setTimeout(resolve, 2000))
    gc()
    const after = process.memoryUsage()
    console.log(after.heapUsed - before.heapUsed < 5e6, after.rss - before.rss < 20e6, after.heapUsed < 400e6 || after.heapUsed)
    await client.close()
    release()
    await Promise.all(calls)
  `,
    { flags: ['--expose-gc'] },
  )
  assert.deepEqual([ended.stderr, ended.stdout], ['', 'true true true\n'])
})

test('operations on a finished call do not affect other calls', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ text: 'one two three', chunkChars: 4 })
  const finished = client.stream({ messages: MESSAGES })
  assert.equal(await finished.text(), 'one two three')
  await finished.result
  // The new call reuses the slot of the finished one.
  simulator.setDefault({ text: 'four five six', chunkChars: 4, chunkDelayMs: 20 })
  const next = client.stream({ messages: MESSAGES })
  const deltas = []
  for await (const delta of next.textStream) {
    deltas.push(delta)
    finished.abort()
    assert.equal(finished.snapshot().answer.text, 'one two three')
  }
  assert.equal(deltas.join(''), 'four five six')
})

test('delivery under load uses no timer that a test may have replaced', async () => {
  const ended = await run(`
    simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 200, chunkDelayMs: 1 })
    const never = () => { throw new Error('a replaced timer was used') }
    Object.assign(globalThis, { setTimeout: never, setImmediate: never, setInterval: never })
    const answers = await Promise.all(Array.from({ length: 100 }, async () => {
      let text = ''
      for await (const delta of client.stream({ messages }).textStream) text += delta
      return text
    }))
    console.log(answers.filter((text) => text === 'ab'.repeat(200)).length)
  `)
  assert.deepEqual([ended.stderr, ended.stdout], ['', '100\n'])
})

test('the async context of a finished call is released, both for the first call and under load', async () => {
  const ended = await run(
    `
    import { AsyncLocalStorage } from 'node:async_hooks'
    const storage = new AsyncLocalStorage()
    const contexts = []
    const calls = async () => {
      for (let index = 0; index < 20; index++) {
        const store = { index }
        contexts.push(new WeakRef(store))
        // The promises of its callback resume the call in its context.
        await storage.run(store, () => client.streamWithRetry(messages, async () => { await null }))
      }
    }
    simulator.setDefault({ text: 'x', chunkChars: 1, repeat: 20 })
    await calls()
    const stop = new AbortController()
    simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 100_000, chunkDelayMs: 1 })
    const load = Array.from({ length: 100 }, () => client.streamWithRetry(messages, () => {}, null, { signal: stop.signal }))
    await new Promise((resolve) => setTimeout(resolve, 100))
    simulator.setDefault({ text: 'x', chunkChars: 1, repeat: 20 })
    await calls()
    // The last context may still be referenced.
    const left = () => contexts.slice(0, -1).filter((ref) => ref.deref() !== undefined).length
    for (let tries = 100; tries > 0 && left() > 0; tries--) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      gc()
    }
    console.log(left())
    stop.abort()
    await Promise.all(load)
  `,
    { flags: ['--expose-gc'] },
  )
  assert.deepEqual([ended.stderr, ended.stdout], ['', '0\n'])
})

test('a package that is loaded while timers are faked delivers without them', async () => {
  const ended = await node([
    '--input-type=module',
    '-e',
    `
    import { mock } from 'node:test'
    const exit = process.exit
    mock.timers.enable({ apis: ['setTimeout', 'setImmediate', 'setInterval'] })
    const { HolySheepStreamingClient } = await import('./index.mjs')
    const { startSimulator } = await import('./simulator.mjs')
    const simulator = await startSimulator()
    simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 200, chunkDelayMs: 1 })
    const client = new HolySheepStreamingClient('sk-test', { baseUrl: simulator.url })
    const read = async (repeat) => {
      let text = ''
      for await (const delta of client.stream({ messages: [{ role: 'user', content: 'x' }] }).textStream) text += delta
      return text === 'ab'.repeat(repeat)
    }
    const paced = await Promise.all(Array.from({ length: 50 }, () => read(200)))
    simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 10_000 })
    const burst = await Promise.all(Array.from({ length: 8 }, () => read(10_000)))
    console.log([...paced, ...burst].every(Boolean))
    exit()
  `,
  ])
  assert.deepEqual([ended.stdout, ended.code], ['true\n', 0])
})

test('a chunk with more deltas than a batch holds is delivered', async (t) => {
  const choices = Array.from({ length: 6000 }, () => ({ index: 0, delta: { content: 'x' } }))
  const last = [{ index: 0, delta: {}, finish_reason: 'stop' }]
  const url = await serve(t, (response) => {
    for (const part of [choices, last]) response.write(`data: ${JSON.stringify({ id: 'a', choices: part })}\n\n`)
    response.end('data: [DONE]\n\n')
  })
  const client = new HolySheepStreamingClient('sk-test', { baseUrl: url })
  let deltas = 0
  for await (const _ of client.stream({ messages: MESSAGES }).textStream) deltas++
  assert.equal(deltas, 6000)
})

test('deltas of a failing stream are delivered before its restart, and only to their own call', async (t) => {
  const failed = new Set()
  const url = await serve(t, (response, { messages }) => {
    const name = messages[0].content
    const send = (...choices) => response.write(`data: ${JSON.stringify({ id: 'a', choices })}\n\n`)
    const call = (index, args) => ({
      index,
      delta: { tool_calls: [{ index: 0, id: name, type: 'function', function: { name: 'f', arguments: args } }] },
    })
    if (failed.has(name)) {
      for (const index of [0, 1]) send({ index, delta: { content: 'good' }, finish_reason: 'stop' })
    } else {
      failed.add(name)
      for (const index of [0, 1]) send({ index, delta: { content: 'void' } })
      send(call(0, '{}'))
      send(call(1, '{bad'))
    }
    response.end('data: [DONE]\n\n')
  })
  const client = new HolySheepStreamingClient('sk-test', {
    baseUrl: url,
    requireFinishReason: false,
    retry: { baseDelayMs: 100, maxDelayMs: 100 },
    retryBudget: false,
  })
  const wrong = []
  const one = async (name) => {
    let restarted = false
    let toolCalls = 0
    const recovery = { mode: 'restart', onRestart: () => (restarted = true) }
    const request = { n: 2, messages: [{ role: 'user', content: name }] }
    for await (const chunk of client.stream(request, { recovery })) {
      const calls = chunk.choices.flatMap(({ delta }) => delta.tool_calls ?? [])
      toolCalls += calls.length
      if (calls.some(({ id }) => id !== name) || (restarted && calls.length > 0)) wrong.push(name)
    }
    if (toolCalls !== 1) wrong.push(`${name}: ${toolCalls}`)
  }
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, 10 * index))
      await one(`call-${index}`)
    }),
  )
  assert.deepEqual(wrong, [])
})

test('onRestart is called one turn after the text that it discards, even between deltas of other calls', async (t) => {
  const methods = {
    textStream: async (client, received, options) => {
      for await (const delta of client.stream({ messages: MESSAGES }, options).textStream) received.push(delta)
    },
    callback: (client, received, options) =>
      client.streamWithRetry(MESSAGES, (delta) => void received.push(delta), null, options),
  }
  for (const [method, read] of Object.entries(methods)) {
    for (const coalesce of [false, true]) {
      // One request at a time: between the break of one answer and its restart, the other one delivers its deltas.
      const { simulator, client } = await pair(t, { maxConcurrent: 1, coalesce }, { default: { chunks: ['good'] } })
      const broken = {
        chunks: ['void ', 'too ', 'never'],
        packets: 'event',
        disconnect: { afterChunks: 2, how: 'reset' },
      }
      simulator.script(broken, broken)
      const one = async () => {
        const received = []
        const options = { recovery: { mode: 'restart', onRestart: () => received.push('RESTART') } }
        await read(client, received, options)
        return received
      }
      const both = [one(), one()]
      await null
      // Nothing is delivered until both have restarted, and then everything is in one batch.
      blockUntil(() => simulator.requests.length === 4)
      const expected = [...(coalesce ? ['void too '] : ['void ', 'too ']), 'RESTART', 'good']
      assert.deepEqual(await Promise.all(both), [expected, expected], `${method}, coalesce: ${coalesce}`)
    }
  }
})

test('after a test clock has run ahead, the process exits when its calls have ended', async () => {
  const ended = await run(`
    import { testClock } from './simulator.mjs'
    const clock = testClock()
    simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 20 })
    await clock.advance(3_600_000)
    clock.restore()
    await Promise.all(Array.from({ length: 30 }, () => client.streamWithRetry(messages, () => {})))
    await client.close()
    await simulator.close()
    console.log('finished')
  `)
  assert.deepEqual([ended.stderr, ended.stdout, ended.code], ['', 'finished\n', 0])
})

/** An endpoint whose answers the test writes. */
async function serve(t, answer) {
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request) body += part
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    answer(response, JSON.parse(body))
  })
  await new Promise((resolve) => server.listen(0, resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${server.address().port}/v1`
}
