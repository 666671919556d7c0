// Many calls at once: what is delivered first, what aborted calls cost, and what remains of streams that nobody reads.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './support/child.mjs'
import { blockUntil, clockOf, failure, MESSAGES, pair, REQUEST, settled, until } from './support/provider.mjs'

const streamText = (client, onDelta, options) => client.streamWithRetry(MESSAGES, onDelta, null, options)

/** Lets a script stop the clock that turns are measured with: then every turn has all the time. */
const CLOCK = `data:text/javascript,${encodeURIComponent(`
  import { performance } from 'node:perf_hooks'
  const prototype = Object.getPrototypeOf(performance)
  const { now } = prototype
  prototype.now = () => globalThis.stoppedAt ?? now.call(performance)
`)}`

test('a turn takes every batch that waits while it has time', async () => {
  const ended = await run(
    `
    // Eight batches of text.
    simulator.setDefault({ text: 'x'.repeat(4000), chunkChars: 4000, repeat: 8 })
    let rounds = 0
    const byRound = new Map()
    const calls = Array.from({ length: 8 }, () =>
      client.streamWithRetry(messages, (text) => byRound.set(rounds, (byRound.get(rounds) ?? 0) + text.length)))
    await new Promise((resolve) => setImmediate(resolve))
    // The answers are complete in Rust, and none of them has been taken.
    const cell = new Int32Array(new SharedArrayBuffer(4))
    while (client.metrics().successes < 8) Atomics.wait(cell, 0, 0, 1)
    globalThis.stoppedAt = performance.now()
    let done = false
    const count = () => {
      rounds++
      if (!done) setImmediate(count)
    }
    count()
    await Promise.all(calls)
    done = true
    // A batch has 32 KiB and one record more. The sum of a round shows whether it took one or all of them.
    const all = [...byRound.values()]
    console.log(all.reduce((sum, each) => sum + each), Math.max(...all) > 2 * 40_000 || all)
  `,
    { flags: ['--import', CLOCK] },
  )
  assert.deepEqual([ended.stderr, ended.stdout], ['', `${8 * 32_000} true\n`])
})

test('the ends of aborted calls reach JavaScript neither as records nor as errors', async () => {
  const ended = await run(`
    simulator.setDefault({ chunks: ['a', 'b'], chunkDelayMs: 60_000 })
    const parse = JSON.parse
    let errors = 0
    JSON.parse = (text, ...rest) => {
      if (text.includes('"class"')) errors++
      return parse(text, ...rest)
    }
    const stop = new AbortController()
    let began = 0
    const calls = Array.from({ length: 200 }, () =>
      client.streamWithRetry(messages, () => void began++, null, { signal: stop.signal }))
    while (began < 200) await new Promise((resolve) => setTimeout(resolve, 1))
    stop.abort()
    const outcomes = await Promise.all(calls)
    // The ids of the calls are free again for calls that follow.
    while (client.metrics().aborted < 200) await new Promise((resolve) => setTimeout(resolve, 1))
    simulator.setDefault({ chunks: ['one ', 'two'] })
    const answers = await Promise.all(Array.from({ length: 300 }, () => client.chat({ messages })))
    console.log(outcomes.every(({ error }) => error.name === 'AbortError'), errors,
      answers.every(({ choices }) => choices[0].message.content === 'one two'))
  `)
  assert.deepEqual([ended.stderr, ended.stdout], ['', 'true 0 true\n'])
})

test('aborted calls whose deltas still wait do not disturb the calls that follow', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['old'], repeat: 50 })
  for (let wave = 0; wave < 20; wave++) {
    const stop = new AbortController()
    const old = Array.from({ length: 20 }, () => streamText(client, () => {}, { signal: stop.signal }))
    await new Promise((resolve) => setImmediate(resolve))
    blockUntil(() => simulator.requests.length >= 20 * (wave + 1) + wave)
    stop.abort()
    simulator.script({ chunks: ['new'] })
    let text = ''
    const { success } = await streamText(client, (delta) => {
      text += delta
    })
    await Promise.all(old)
    assert.deepEqual([success, text], [true, text.startsWith('old') ? 'old'.repeat(50) : 'new'])
  }
})

test('a stream that nobody reads or holds is canceled when it is collected', async () => {
  const ended = await run(
    `
    simulator.setDefault({ chunks: ['x'], repeat: 100_000, chunkDelayMs: 20 })
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
    for (let i = 0; i < 50; i++) client.stream({ messages })
    const held = client.stream({ messages })
    let text = 0
    const reading = (async () => { for await (const delta of client.stream({ messages }).textStream) if (++text === 30) break })()
    const result = client.stream({ messages }).result
    result.catch(() => {})
    const open = () => simulator.requests.filter(({ endedBy }) => endedBy === 'open').length
    while (simulator.requests.length < 53) await sleep(5)
    await reading
    while (open() > 2) { gc(); await sleep(5) }
    console.log(open(), text)
    held.abort()
    await client.close()
  `,
    { flags: ['--expose-gc'] },
  )
  assert.deepEqual([ended.stderr, ended.stdout], ['', '2 30\n'])
})

test('a paused call does not keep the process alive', async () => {
  const ended = await run(`
    simulator.setDefault({ text: 'x'.repeat(1000), chunkChars: 1000, repeat: 100_000 })
    const held = client.stream({ messages })
    const blocked = client.streamWithRetry(messages, () => new Promise(() => {}))
    console.log('waits')
  `)
  assert.deepEqual([ended.code, ended.stderr, ended.stdout], [0, '', 'waits\n'])
})

test('a stream that its reader stops reading ends after maxPausedMs, and what arrived can still be read', async (t) => {
  const { simulator, client } = await pair(t, { maxPausedMs: 50_000 })
  const clock = clockOf(t)
  simulator.setDefault({ text: 'x'.repeat(1000), chunkChars: 1000, repeat: 100_000 })
  const iterator = client.stream(REQUEST).textStream[Symbol.asyncIterator]()
  await iterator.next()
  await until(async () => {
    await clock.advance(50_000)
    return simulator.requests[0].endedBy !== 'open'
  })
  assert.equal(simulator.requests.length, 1)
  let read = 0
  const error = await failure(
    (async () => {
      for (let step = await iterator.next(); !step.done; step = await iterator.next()) read++
    })(),
  )
  assert.ok(read >= 64, `${read} deltas`)
  assert.deepEqual([error.name, error.code, error.phase], ['TimeoutError', 'TIMEOUT', 'paused'])
})

test('a callback whose promise never settles ends after maxPausedMs', async (t) => {
  const { simulator, client } = await pair(t, { maxPausedMs: 50_000 })
  const clock = clockOf(t)
  simulator.setDefault({ text: 'x'.repeat(1000), chunkChars: 1000, repeat: 100_000 })
  const call = streamText(client, () => new Promise(() => {}))
  const isOver = settled(call)
  await until(async () => {
    await clock.advance(50_000)
    return isOver()
  })
  const { error } = await call
  assert.deepEqual([error.name, error.phase], ['TimeoutError', 'paused'])
})

test('close() closes idle connections at once, except those that another client uses', async () => {
  const ended = await run(`
    import { connect, createServer } from 'node:net'
    // Counts the connections to the simulator.
    let opened = 0
    let closed = 0
    const proxy = createServer((socket) => {
      opened++
      const to = connect(new URL(simulator.url).port, '127.0.0.1')
      socket.pipe(to).pipe(socket)
      socket.on('error', () => {}).on('close', () => { closed++; to.destroy() })
      to.on('error', () => {})
    })
    await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const baseUrl = 'http://127.0.0.1:' + proxy.address().port + '/v1'
    const clients = [1, 2].map(() => new HolySheepStreamingClient('sk-test', { baseUrl }))
    await Promise.all(clients.map((client) => client.chat({ messages })))
    await clients[0].close()
    // Whatever the close has ended would have ended by the time that the other client has had another answer.
    for (let i = 0; i < 5; i++) await clients[1].chat({ messages })
    const closedEarly = closed
    await clients[1].close()
    while (closed < opened) await new Promise((resolve) => setTimeout(resolve, 1))
    console.log(opened > 0, closedEarly)
    proxy.close()
  `)
  assert.deepEqual([ended.stderr, ended.stdout], ['', 'true 0\n'])
})

test('a cold burst of calls starts few threads', { skip: process.platform !== 'linux' }, async () => {
  const ended = await run(`
    import { readdirSync } from 'node:fs'
    const threads = () => readdirSync('/proc/self/task').length
    const baseUrl = simulator.url.replace('127.0.0.1', 'localhost')
    const fresh = new HolySheepStreamingClient('sk-test', { baseUrl })
    const before = threads()
    let most = 0
    const timer = setInterval(() => { most = Math.max(most, threads()) }, 1)
    await Promise.all(Array.from({ length: 300 }, () => fresh.chat({ messages })))
    clearInterval(timer)
    // The runtime's own, which has at most four workers, and those that block.
    console.log(Math.max(most, threads()) - before <= 20 || most - before)
    await fresh.close()
  `)
  assert.deepEqual([ended.stderr, ended.stdout], ['', 'true\n'])
})
