// How pieces come to JavaScript: in bounded memory, each on its own, with nobody's timers.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { HolySheepStreamingClient } from 'holysheep'
import { node, run } from './support/child.mjs'
import { MESSAGES, pair, untilWithoutTurns } from './support/provider.mjs'

test('a piece that is kept keeps no other in memory', async () => {
  for (const text of ['twenty characters ok', 'hai mươi ký tự đó 🐑']) {
    const ended = await run(
      `
      simulator.setDefault({ text: ${JSON.stringify(text)}, chunkChars: 100, repeat: 10000 })
      const kept = []
      const stream = () => {
        let count = 0
        return client.streamWithRetry(messages, (piece) => void (++count % 50 === 0 && kept.push(piece)))
      }
      await stream()
      kept.length = 0
      gc()
      const before = process.memoryUsage().heapUsed
      await Promise.all(Array.from({ length: 16 }, stream))
      gc()
      const bytes = process.memoryUsage().heapUsed - before
      console.log(kept.length, kept.every((piece) => piece === ${JSON.stringify(text)}), bytes < 1_500_000 || bytes)
    `,
      { flags: ['--expose-gc'] },
    )
    assert.deepEqual([ended.stderr, ended.stdout], ['', '3200 true true\n'])
  }
})

test('a thousand streams whose consumers sleep take no more memory the longer they sleep', async () => {
  const ended = await run(
    `
    simulator.setDefault({ text: 'x'.repeat(1000), chunkChars: 1000, repeat: 100_000, chunkDelayMs: 1 })
    let release
    const gate = new Promise((resolve) => { release = resolve })
    let began = 0
    const calls = Array.from({ length: 1000 }, () => {
      let first = true
      return client.streamWithRetry(messages, () => { if (first) { first = false; began++ } return gate })
    })
    while (began < 1000) await new Promise((resolve) => setTimeout(resolve, 20))
    const sent = () => simulator.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
    // Until the sockets are full: nothing more is sent for a while, which is no pause of a busy machine.
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

test('what is done with a call that has ended touches no other', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ text: 'one two three', chunkChars: 4 })
  const over = client.stream({ messages: MESSAGES })
  assert.equal(await over.text(), 'one two three')
  await over.result
  // It takes the place in which the other one was.
  simulator.setDefault({ text: 'four five six', chunkChars: 4, chunkDelayMs: 20 })
  const next = client.stream({ messages: MESSAGES })
  const pieces = []
  for await (const piece of next.textStream) {
    pieces.push(piece)
    over.abort()
    assert.equal(over.snapshot().answer.text, 'one two three')
  }
  assert.equal(pieces.join(''), 'four five six')
})

test('under load it needs no timer that a test may have replaced', async () => {
  const ended = await run(`
    simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 200, chunkDelayMs: 1 })
    const never = () => { throw new Error('a replaced timer was asked for') }
    Object.assign(globalThis, { setTimeout: never, setImmediate: never, setInterval: never })
    const answers = await Promise.all(Array.from({ length: 100 }, async () => {
      let text = ''
      for await (const piece of client.stream({ messages }).textStream) text += piece
      return text
    }))
    console.log(answers.filter((text) => text === 'ab'.repeat(200)).length)
  `)
  assert.deepEqual([ended.stderr, ended.stdout], ['', '100\n'])
})

test('the context of a call that has ended is let go, be it the first one or one under load', async () => {
  const ended = await run(
    `
    import { AsyncLocalStorage } from 'node:async_hooks'
    const storage = new AsyncLocalStorage()
    const kept = []
    const calls = async () => {
      for (let index = 0; index < 20; index++) {
        const store = { index }
        kept.push(new WeakRef(store))
        // Its promises take the call up again, in its context.
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
    // The last one may be at hand yet.
    const left = () => kept.slice(0, -1).filter((ref) => ref.deref() !== undefined).length
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

test('loaded while timers are faked, it delivers without them', async () => {
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
      for await (const piece of client.stream({ messages: [{ role: 'user', content: 'x' }] }).textStream) text += piece
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

test('a chunk that becomes more pieces than a batch holds is delivered', async (t) => {
  const choices = Array.from({ length: 6000 }, () => ({ index: 0, delta: { content: 'x' } }))
  const last = [{ index: 0, delta: {}, finish_reason: 'stop' }]
  const url = await serve(t, (response) => {
    for (const of of [choices, last]) response.write(`data: ${JSON.stringify({ id: 'a', choices: of })}\n\n`)
    response.end('data: [DONE]\n\n')
  })
  const client = new HolySheepStreamingClient('sk-test', { baseUrl: url })
  let pieces = 0
  for await (const _ of client.stream({ messages: MESSAGES }).textStream) pieces++
  assert.equal(pieces, 6000)
})

test('what a failing end had handed over comes before its restart, and to nobody else', async (t) => {
  const asked = new Set()
  const url = await serve(t, (response, { messages }) => {
    const name = messages[0].content
    const tell = (...choices) => response.write(`data: ${JSON.stringify({ id: 'a', choices })}\n\n`)
    const call = (index, args) => ({
      index,
      delta: { tool_calls: [{ index: 0, id: name, type: 'function', function: { name: 'f', arguments: args } }] },
    })
    if (asked.has(name)) {
      for (const index of [0, 1]) tell({ index, delta: { content: 'good' }, finish_reason: 'stop' })
    } else {
      asked.add(name)
      for (const index of [0, 1]) tell({ index, delta: { content: 'void' } })
      tell(call(0, '{}'))
      tell(call(1, '{bad'))
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
    let told = 0
    const recovery = { mode: 'restart', onRestart: () => (restarted = true) }
    const request = { n: 2, messages: [{ role: 'user', content: name }] }
    for await (const chunk of client.stream(request, { recovery })) {
      const calls = chunk.choices.flatMap(({ delta }) => delta.tool_calls ?? [])
      told += calls.length
      if (calls.some(({ id }) => id !== name) || (restarted && calls.length > 0)) wrong.push(name)
    }
    if (told !== 1) wrong.push(`${name}: ${told}`)
  }
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, 10 * index))
      await one(`call-${index}`)
    }),
  )
  assert.deepEqual(wrong, [])
})

test('between the pieces of others too, a restart is told a turn after what it makes void', async (t) => {
  const faces = {
    textStream: async (client, told, options) => {
      for await (const piece of client.stream({ messages: MESSAGES }, options).textStream) told.push(piece)
    },
    callback: (client, told, options) =>
      client.streamWithRetry(MESSAGES, (piece) => void told.push(piece), null, options),
  }
  for (const [face, read] of Object.entries(faces)) {
    for (const coalesce of [false, true]) {
      // One request at a time: between the break of one answer and its restart the other one has its pieces.
      const { simulator, client } = await pair(t, { maxConcurrent: 1, coalesce }, { default: { chunks: ['good'] } })
      const broken = {
        chunks: ['void ', 'too ', 'never'],
        packets: 'whole',
        disconnect: { afterChunks: 2, how: 'reset' },
      }
      simulator.script(broken, broken)
      const one = async () => {
        const told = []
        const options = { recovery: { mode: 'restart', onRestart: () => told.push('RESTART') } }
        await read(client, told, options)
        return told
      }
      const both = [one(), one()]
      await null
      // Nothing is handed over until both have begun anew, and then all of it is in one batch.
      untilWithoutTurns(() => simulator.requests.length === 4)
      const told = [...(coalesce ? ['void too '] : ['void ', 'too ']), 'RESTART', 'good']
      assert.deepEqual(await Promise.all(both), [told, told], `${face}, coalesce: ${coalesce}`)
    }
  }
})

test('after a test clock was ahead the process ends when its calls have ended', async () => {
  const ended = await run(`
    import { testClock } from './simulator.mjs'
    const clock = testClock()
    simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 20 })
    await clock.advance(3_600_000)
    clock.restore()
    await Promise.all(Array.from({ length: 30 }, () => client.streamWithRetry(messages, () => {})))
    await client.close()
    await simulator.close()
    console.log('over')
  `)
  assert.deepEqual([ended.stderr, ended.stdout, ended.code], ['', 'over\n', 0])
})

/** An endpoint whose answers are written by hand. */
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
