// How long pieces hold the event loop, whatever is done with them: what is counted are the pieces, each of a known
// time, between two rounds of the loop.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFetch } from 'holysheep/fetch'
import { node } from './support/child.mjs'
import { clockOf, failure, KEY, MESSAGES, pair, untilWithoutTurns } from './support/provider.mjs'

const CALLBACK = (client, onPiece, options) => client.streamWithRetry(MESSAGES, onPiece, null, options)
const reading = (of) => async (client, onPiece, options) => {
  for await (const _ of of(client.stream({ messages: MESSAGES }, options))) onPiece()
}
const READERS = { text: reading((stream) => stream.textStream), chunks: reading((stream) => stream) }
const ALL = { callbacks: CALLBACK, 'readers of text': READERS.text, 'readers of chunks': READERS.chunks }

const spin = (ms) => {
  for (const end = performance.now() + ms; performance.now() < end; );
}

/** Runs `work`, and tells how many times `count` was called in the round of the loop that had most, and in all. */
async function mostInOneRound(work) {
  let [most, inRound, all, over] = [0, 0, 0, false]
  const look = () => {
    most = Math.max(most, inRound)
    inRound = 0
    if (!over) setImmediate(look)
  }
  // What was before is over.
  await new Promise((resolve) => setImmediate(resolve))
  setImmediate(look)
  await work(() => {
    inRound++
    all++
  })
  over = true
  return { most: Math.max(most, inRound), all }
}

/** Everything that was asked for has come, and nobody has been given anything of it. */
const allIsThere = (simulator, calls) =>
  untilWithoutTurns(() => simulator.requests.filter(({ endedBy }) => endedBy !== 'open').length === calls)

for (const [who, read] of Object.entries(ALL)) {
  test(`${who}: what came at once for many calls is handed over in turns that end in time`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: ['ab', 'cd'] })
    const { most, all } = await mostInOneRound(async (count) => {
      const calls = Array.from({ length: 300 }, () =>
        read(client, () => {
          count()
          spin(0.5)
        }),
      )
      await new Promise((resolve) => setImmediate(resolve))
      allIsThere(simulator, 300)
      await Promise.all(calls)
    })
    assert.ok(all >= 600, `${all} pieces`)
    // Eight are four milliseconds. One turn more may fall into the same round, and what one look does not see.
    assert.ok(most <= 24, `${most} pieces of half a millisecond in one round`)
  })

  test(`${who}: who is slower than the pieces of one call has a round of the loop for each`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: ['ab'], repeat: 60, chunkDelayMs: 2 })
    const { most, all } = await mostInOneRound((count) =>
      read(client, () => {
        count()
        spin(5)
      }),
    )
    assert.ok(all >= 60, `${all} pieces`)
    // The first one, and a piece that was there when it had been handled.
    assert.ok(most <= 3, `${most} pieces of five milliseconds in one round`)
  })

  test(`${who}: the pieces of slow calls leave the loop time, be they joined or not`, async (t) => {
    for (const coalesce of [false, true]) {
      const { simulator, client } = await pair(t, { coalesce })
      simulator.setDefault({ chunks: ['ab'], repeat: 10, chunkDelayMs: 2 })
      const { most, all } = await mostInOneRound((count) =>
        Promise.all(
          Array.from({ length: 40 }, () =>
            read(client, () => {
              count()
              spin(2)
            }),
          ),
        ),
      )
      assert.ok(all >= 40, `${all} pieces`)
      // Records that are no pieces take no time, and after some of them a few more go by unseen.
      assert.ok(most <= 20, `${most} pieces of two milliseconds in one round, coalesce: ${coalesce}`)
    }
  })
}

test('a slow call whose pieces lie together holds the loop for no longer where others are quick', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['ab'], repeat: 30 })
  const { most, all } = await mostInOneRound(async (count) => {
    const calls = Array.from({ length: 20 }, (_, index) =>
      CALLBACK(client, () => {
        if (index % 4 < 3) return
        count()
        spin(5)
      }),
    )
    await new Promise((resolve) => setImmediate(resolve))
    allIsThere(simulator, 20)
    await Promise.all(calls)
  })
  assert.equal(all, 150)
  assert.ok(most <= 8, `${most} pieces of five milliseconds in one round`)
})

test('what async callbacks do when they have awaited something counts too', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['ab'], repeat: 10, chunkDelayMs: 2 })
  const { most, all } = await mostInOneRound((count) =>
    Promise.all(
      Array.from({ length: 40 }, () =>
        CALLBACK(client, async () => {
          await null
          count()
          spin(2)
        }),
      ),
    ),
  )
  assert.equal(all, 400)
  assert.ok(most <= 20, `${most} pieces of two milliseconds in one round`)
})

test('an async callback that is slower than its pieces holds the provider back', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['x'.repeat(2000)], repeat: 100_000 })
  const stop = new AbortController()
  let handled = 0
  const call = CALLBACK(
    client,
    async () => {
      spin(1)
      await null
      if (++handled === 1500) stop.abort()
    },
    { signal: stop.signal },
  )
  await call
  const { bytesSent } = simulator.requests[0]
  // What the sockets hold, and the pieces that may wait.
  assert.ok(bytesSent < 30e6, `${bytesSent} bytes sent, ${handled} pieces of 2 kB handled`)
})

test('many slow readers of bodies share turns that end in time', async (t) => {
  const { simulator } = await pair(t)
  simulator.setDefault({ chunks: ['ab'], repeat: 10, chunkDelayMs: 5 })
  const fetch = createFetch()
  t.after(() => fetch.close())
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ model: 'x', stream: true, messages: MESSAGES }),
  }
  const texts = []
  const { most } = await mostInOneRound((count) =>
    Promise.all(
      Array.from({ length: 40 }, async () => {
        const response = await fetch(`${simulator.url}/chat/completions`, init)
        let text = ''
        for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
          text += chunk
          count()
          spin(4)
        }
        texts.push(text)
      }),
    ),
  )
  assert.ok(texts.every((text) => text.split('"ab"').length === 11 && text.endsWith('data: [DONE]\n\n')))
  assert.ok(most <= 20, `${most} chunks of four milliseconds in one round`)
})

for (const [who, of] of Object.entries({ text: (stream) => stream.textStream, chunks: (stream) => stream })) {
  /** Streams whose answers are there as a whole before anybody reads. */
  async function there(t, streams, scenario) {
    const { simulator, client } = await pair(t)
    simulator.setDefault(scenario)
    const begun = Array.from({ length: streams }, () => client.stream({ messages: MESSAGES }))
    await Promise.all(begun.map(({ result }) => result))
    return { simulator, client, begun }
  }

  test(`readers of ${who} who come late leave the loop time, one or many side by side`, async (t) => {
    for (const readers of [1, 20]) {
      const { begun } = await there(t, readers, { chunks: ['ab'], repeat: 60 / readers })
      const { most, all } = await mostInOneRound((count) =>
        Promise.all(
          begun.map(async (stream) => {
            for await (const _ of of(stream)) {
              count()
              // More than a turn has.
              spin(5)
            }
          }),
        ),
      )
      assert.ok(all >= 60, `${all} pieces`)
      assert.ok(most <= 2, `${most} pieces of five milliseconds in one round, ${readers} readers`)
    }
  })

  test(`while readers of ${who} have a backlog another call is served`, async (t) => {
    for (const readers of [1, 5]) {
      const { simulator, client, begun } = await there(t, readers, { chunks: ['ab'], repeat: 10_000 })
      simulator.setDefault({ chunks: ['cd'], repeat: 100 })
      let left = readers
      let served
      const other = client
        .streamWithRetry(MESSAGES, () => {})
        .then(() => {
          served = left
        })
      await Promise.all(
        begun.map(async (stream) => {
          // Slow for as long as the other one takes, on a busy machine too.
          for await (const _ of of(stream)) if (served === undefined) spin(2)
          left--
        }),
      )
      await other
      assert.equal(served, readers, 'its whole answer comes before theirs are read')
    }
  })
}

test('whoever aborts a stream is given nothing more, though it is there', async (t) => {
  const { simulator, client } = await pair(t)
  const pieces = ['a', 'b', 'c', 'd', 'e']
  const scenarios = {
    'before the end': [{ chunks: pieces, disconnect: { afterChunks: 4, how: 'stall' } }, {}],
    // Every piece is there, and only what it has cost is not.
    'before the usage': [
      { chunks: pieces, usage: true, usageDelayMs: 60_000 },
      { stream_options: { include_usage: true } },
    ],
  }
  for (const [when, [scenario, request]] of Object.entries(scenarios)) {
    simulator.setDefault(scenario)
    for (const how of ['abort', 'signal']) {
      const controller = new AbortController()
      const reason = new Error('enough')
      const stream = client.stream({ messages: MESSAGES, ...request }, { signal: controller.signal })
      const reader = stream.textStream[Symbol.asyncIterator]()
      assert.equal((await reader.next()).value, 'a')
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.equal((await reader.next()).value, 'b')
      if (how === 'abort') stream.abort(reason)
      else controller.abort(reason)
      assert.equal(await failure(reader.next()), reason, `${when}, by ${how}`)
      assert.equal((await reader.next()).done, true)
      assert.equal(stream.snapshot().answer.text, 'ab')
    }
  }
})

test('whoever aborts a stream whose answer has come as a whole is given nothing more of it', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['a', 'b', 'c'] })
  const reason = new Error('enough')
  for (const how of ['abort', 'signal']) {
    const controller = new AbortController()
    const stream = client.stream({ messages: MESSAGES }, { signal: controller.signal })
    const reader = stream.textStream[Symbol.asyncIterator]()
    assert.equal((await reader.next()).value, 'a')
    assert.equal((await stream.result).text, 'abc')
    if (how === 'abort') stream.abort(reason)
    else controller.abort(reason)
    assert.equal(await failure(reader.next()), reason, how)
    assert.equal((await reader.next()).done, true)
    // Who has had all of it is told nothing.
    stream.abort(reason)
    assert.equal((await reader.next()).done, true)
  }
})

test('a stream that was read to its end is whole, though it is aborted before what it has cost is known', async (t) => {
  const clock = clockOf(t)
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['a', 'b'], usage: true, usageDelayMs: 60_000 })
  const stream = client.stream({ messages: MESSAGES })
  const reader = stream.textStream[Symbol.asyncIterator]()
  assert.equal((await reader.next()).value, 'a')
  assert.equal((await reader.next()).value, 'b')
  // What has come is taken in.
  await clock.advance(0)
  stream.abort()
  assert.deepEqual(await reader.next(), { value: undefined, done: true })
})

test('a slow reader is given what is void before he is told that it is', async (t) => {
  for (const coalesce of [false, true]) {
    const { simulator, client } = await pair(t, { coalesce, idleTimeoutMs: 2000 }, { default: { chunks: ['good'] } })
    simulator.script({
      chunks: ['1 ', '2 ', '3 ', '4'],
      chunkDelayMs: 20,
      disconnect: { afterChunks: 3, how: 'stall' },
    })
    const told = []
    const recovery = { mode: 'restart', onRestart: () => told.push('RESTART') }
    const stream = client.stream({ messages: MESSAGES }, { recovery })
    for await (const piece of stream.textStream) {
      told.push(piece)
      // The others come and wait for him; then he has used up the time of a turn when he asks for the last of them,
      // and the break and the new answer have come.
      if (piece === '1 ') await new Promise((resolve) => setTimeout(resolve, 150))
      if (piece === '2 ') {
        const answered = () => simulator.requests.length === 2 && simulator.requests[1].endedBy !== 'open'
        untilWithoutTurns(answered)
      }
    }
    // What he was not given is dropped.
    const at = told.indexOf('RESTART')
    assert.deepEqual(told.slice(at), ['RESTART', 'good'], `coalesce: ${coalesce}, ${told}`)
    assert.deepEqual(told.slice(0, at), ['1 ', '2 ', '3 '].slice(0, at), `coalesce: ${coalesce}`)
  }
})

for (const [faked, { timers, ticks }] of Object.entries({
  timers: { timers: true, ticks: false },
  ticks: { timers: false, ticks: true },
  both: { timers: true, ticks: true },
})) {
  test(`loaded while timers or ticks are faked (${faked}), slow readers are given everything`, async () => {
    const ended = await node([
      '--input-type=module',
      '-e',
      `
      import { mock } from 'node:test'
      const { exit, nextTick } = process
      if (${timers}) mock.timers.enable({ apis: ['setTimeout', 'setImmediate', 'setInterval'] })
      if (${ticks}) process.nextTick = () => {}
      const { HolySheepStreamingClient } = await import('./index.mjs')
      const { startSimulator } = await import('./simulator.mjs')
      process.nextTick = nextTick
      const simulator = await startSimulator()
      simulator.setDefault({ text: 'ab', chunkChars: 1, repeat: 30, chunkDelayMs: 1 })
      const client = new HolySheepStreamingClient('sk-test', { baseUrl: simulator.url })
      const read = async (late) => {
        const stream = client.stream({ messages: [{ role: 'user', content: 'x' }] })
        if (late) await stream.result
        if (late === 'alone') await simulator.close()
        let text = ''
        for await (const piece of stream.textStream) {
          text += piece
          for (const end = performance.now() + 1; performance.now() < end; );
        }
        return text === 'ab'.repeat(30)
      }
      const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => read(index % 2 === 0)))
      console.log(answers.every(Boolean))
      // The last one has ended before it is read: nothing else holds the process.
      console.log(await read('alone'))
      exit()
    `,
    ])
    assert.deepEqual([ended.stdout, ended.code], ['true\ntrue\n', 0], ended.stderr)
  })
}
