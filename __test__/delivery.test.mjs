// How pieces come to JavaScript: in bounded turns, in bounded memory, each on its own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './support/child.mjs'
import { MESSAGES, pair, until } from './support/provider.mjs'

test('a piece that is kept keeps no other in memory', async () => {
  for (const text of ['twenty characters ok', 'hai mươi ký tự đó 🐑']) {
    const ended = await run(
      `
      simulator.setDefault({ text: ${JSON.stringify(text)}, pieceChars: 100, repeat: 10000 })
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
    simulator.setDefault({ text: 'x'.repeat(1000), pieceChars: 1000, repeat: 100_000, paceMs: 1 })
    let release
    const gate = new Promise((resolve) => { release = resolve })
    let began = 0
    const calls = Array.from({ length: 1000 }, () => {
      let first = true
      return client.streamWithRetry(messages, () => { if (first) { first = false; began++ } return gate })
    })
    while (began < 1000) await new Promise((resolve) => setTimeout(resolve, 20))
    const sent = () => simulator.requests.reduce((sum, { bytesSent }) => sum + bytesSent, 0)
    // Until the sockets are full: nothing more is sent.
    for (let before = -1; before !== sent();) {
      before = sent()
      await new Promise((resolve) => setTimeout(resolve, 300))
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

test('callbacks that are slow share turns that end in time', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ pieces: ['a'] })
  let turns = 0
  let calls = 0
  const most = []
  let inTurn = 0
  const spin = (ms) => {
    for (const end = performance.now() + ms; performance.now() < end; );
  }
  const streams = Array.from({ length: 300 }, () =>
    client.streamWithRetry(MESSAGES, () => {
      calls++
      inTurn++
      spin(1)
    }),
  )
  let over = false
  const look = () => {
    turns++
    most.push(inTurn)
    inTurn = 0
    if (!over) setImmediate(look)
  }
  setImmediate(look)
  await Promise.all(streams)
  over = true
  await until(() => calls === 300)
  // Four milliseconds, looked at after every eighth record.
  assert.ok(Math.max(...most) <= 24, `${Math.max(...most)} calls of a millisecond in one turn of ${turns}`)
})
