// How long delivery occupies the event loop: the tests count the deltas, each of which takes a known time to handle,
// in one iteration of the loop.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFetch } from 'holysheep/fetch'
import { node } from './support/child.mjs'
import { blockUntil, clockOf, failure, KEY, MESSAGES, pair } from './support/provider.mjs'

const CALLBACK = (client, onDelta, options) => client.streamWithRetry(MESSAGES, onDelta, null, options)
const reading = (source) => async (client, onDelta, options) => {
  for await (const _ of source(client.stream({ messages: MESSAGES }, options))) onDelta()
}
const READERS = { text: reading((stream) => stream.textStream), chunks: reading((stream) => stream) }
const ALL = { callbacks: CALLBACK, 'readers of text': READERS.text, 'readers of chunks': READERS.chunks }

const spin = (ms) => {
  for (const end = performance.now() + ms; performance.now() < end; );
}

/** Runs `work`, and returns how often `count` was called: at most in one iteration of the loop, and in total. */
async function countPerIteration(work) {
  let [max, current, total, done] = [0, 0, 0, false]
  const check = () => {
    max = Math.max(max, current)
    current = 0
    if (!done) setImmediate(check)
  }
  // Let earlier work finish.
  await new Promise((resolve) => setImmediate(resolve))
  setImmediate(check)
  try {
    await work(() => {
      current++
      total++
    })
  } finally {
    done = true
  }
  return { max: Math.max(max, current), total }
}

/** Blocks until every answer has arrived and none of it has been delivered. */
const blockUntilArrived = (simulator, calls) =>
  blockUntil(() => simulator.requests.filter(({ endedBy }) => endedBy !== 'open').length === calls)

for (const [who, read] of Object.entries(ALL)) {
  test(`${who}: a burst for many calls is delivered in bounded turns`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: ['ab', 'cd'] })
    const { max, total } = await countPerIteration(async (count) => {
      const calls = Array.from({ length: 300 }, () =>
        read(client, () => {
          count()
          spin(0.5)
        }),
      )
      await new Promise((resolve) => setImmediate(resolve))
      blockUntilArrived(simulator, 300)
      await Promise.all(calls)
    })
    assert.ok(total >= 600, `${total} deltas`)
    // A turn has time for eight. The same iteration may include another turn, and what one check misses.
    assert.ok(max <= 24, `${max} deltas of half a millisecond in one iteration`)
  })

  test(`${who}: a consumer that is slower than its call gets one delta per iteration of the loop`, async (t) => {
    const { simulator, client } = await pair(t)
    simulator.setDefault({ chunks: ['ab'], repeat: 60, chunkDelayMs: 2 })
    const { max, total } = await countPerIteration((count) =>
      read(client, () => {
        count()
        spin(5)
      }),
    )
    assert.ok(total >= 60, `${total} deltas`)
    // One before the check and one after it, in the same iteration.
    assert.ok(max <= 2, `${max} deltas of five milliseconds in one iteration`)
  })

  test(`${who}: slow consumers of many calls leave time for the loop, with or without coalesce`, async (t) => {
    for (const coalesce of [false, true]) {
      const { simulator, client } = await pair(t, { coalesce })
      simulator.setDefault({ chunks: ['ab'], repeat: 10, chunkDelayMs: 2 })
      const { max, total } = await countPerIteration((count) =>
        Promise.all(
          Array.from({ length: 40 }, () =>
            read(client, () => {
              count()
              spin(2)
            }),
          ),
        ),
      )
      assert.ok(total >= 40, `${total} deltas`)
      // A turn has time for two, and the same iteration may include another turn.
      assert.ok(max <= 8, `${max} deltas of two milliseconds in one iteration, coalesce: ${coalesce}`)
    }
  })
}

test('records without text, which are quick to handle, do not hide the time that the deltas after them take', async (t) => {
  for (const coalesce of [false, true]) {
    const { simulator, client } = await pair(t, { coalesce })
    simulator.setDefault({ chunks: ['ab'], repeat: 30 })
    const { max, total } = await countPerIteration(async (count) => {
      const call = CALLBACK(client, () => {
        count()
        spin(5)
      })
      await new Promise((resolve) => setImmediate(resolve))
      blockUntilArrived(simulator, 1)
      await call
    })
    assert.equal(total, coalesce ? 1 : 30)
    assert.ok(max <= 2, `${max} deltas of five milliseconds in one iteration, coalesce: ${coalesce}`)
  }
})

test('a slow consumer with a backlog does not occupy the loop for longer among fast consumers', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['ab'], repeat: 30 })
  const { max, total } = await countPerIteration(async (count) => {
    const calls = Array.from({ length: 20 }, (_, index) =>
      CALLBACK(client, () => {
        if (index % 4 < 3) return
        count()
        spin(5)
      }),
    )
    await new Promise((resolve) => setImmediate(resolve))
    blockUntilArrived(simulator, 20)
    await Promise.all(calls)
  })
  assert.equal(total, 150)
  assert.ok(max <= 8, `${max} deltas of five milliseconds in one iteration`)
})

test('the work of async callbacks after an await counts too', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['ab'], repeat: 10, chunkDelayMs: 2 })
  const { max, total } = await countPerIteration((count) =>
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
  assert.equal(total, 400)
  assert.ok(max <= 20, `${max} deltas of two milliseconds in one iteration`)
})

test('an async callback that is slower than its deltas slows the provider down', async (t) => {
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
  // What the sockets and the queue of deltas hold.
  assert.ok(bytesSent < 30e6, `${bytesSent} bytes sent, ${handled} deltas of 2 kB handled`)
})

test('many slow body readers share bounded turns', async (t) => {
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
  const { max } = await countPerIteration((count) =>
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
  assert.ok(max <= 20, `${max} chunks of four milliseconds in one iteration`)
})

for (const [who, source] of Object.entries({ text: (stream) => stream.textStream, chunks: (stream) => stream })) {
  /** Streams whose complete answers arrive before anything is read. */
  async function arrivedStreams(t, length, scenario) {
    const { simulator, client } = await pair(t)
    simulator.setDefault(scenario)
    const streams = Array.from({ length }, () => client.stream({ messages: MESSAGES }))
    await Promise.all(streams.map(({ result }) => result))
    return { simulator, client, streams }
  }

  test(`late readers of ${who} leave time for the loop, alone or in parallel`, async (t) => {
    for (const readers of [1, 20]) {
      const { streams } = await arrivedStreams(t, readers, { chunks: ['ab'], repeat: 60 / readers })
      const { max, total } = await countPerIteration((count) =>
        Promise.all(
          streams.map(async (stream) => {
            for await (const _ of source(stream)) {
              count()
              // Longer than a turn.
              spin(5)
            }
          }),
        ),
      )
      assert.ok(total >= 60, `${total} deltas`)
      assert.ok(max <= 2, `${max} deltas of five milliseconds in one iteration, ${readers} readers`)
    }
  })

  test(`another call is served while readers of ${who} have a backlog`, async (t) => {
    for (const readers of [1, 5]) {
      const { simulator, client, streams } = await arrivedStreams(t, readers, { chunks: ['ab'], repeat: 10_000 })
      simulator.setDefault({ chunks: ['cd'], repeat: 100 })
      let left = readers
      let served
      const other = client
        .streamWithRetry(MESSAGES, () => {})
        .then(() => {
          served = left
        })
      await Promise.all(
        streams.map(async (stream) => {
          // Slow until the other call is served, however busy the machine is.
          for await (const _ of source(stream)) if (served === undefined) spin(2)
          left--
        }),
      )
      await other
      assert.equal(served, readers, 'its complete answer arrives before theirs are read')
    }
  })
}

test('an aborted stream delivers nothing more, even if more has arrived', async (t) => {
  const { simulator, client } = await pair(t)
  const letters = ['a', 'b', 'c', 'd', 'e']
  const scenarios = {
    'before the end': [{ chunks: letters, disconnect: { afterChunks: 4, how: 'stall' } }, {}],
    // Every delta has arrived, and only the usage is missing.
    'before the usage': [
      { chunks: letters, usage: true, usageDelayMs: 60_000 },
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

test('an aborted stream delivers nothing more, even if its complete answer has arrived', async (t) => {
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
    // A reader that is done gets no further error.
    stream.abort(reason)
    assert.equal((await reader.next()).done, true)
  }
})

test('a stream that is read to the end is complete, even if it is aborted before its usage arrives', async (t) => {
  const clock = clockOf(t)
  const { simulator, client } = await pair(t)
  simulator.setDefault({ chunks: ['a', 'b'], usage: true, usageDelayMs: 60_000 })
  const stream = client.stream({ messages: MESSAGES })
  const reader = stream.textStream[Symbol.asyncIterator]()
  assert.equal((await reader.next()).value, 'a')
  assert.equal((await reader.next()).value, 'b')
  // A second after the finish reason the answer is settled.
  await clock.advance(1000)
  stream.abort()
  assert.deepEqual(await reader.next(), { value: undefined, done: true })
})

test('a slow reader gets discarded text before the onRestart that discards it', async (t) => {
  for (const coalesce of [false, true]) {
    const { simulator, client } = await pair(t, { coalesce, idleTimeoutMs: 2000 }, { default: { chunks: ['good'] } })
    simulator.script({
      chunks: ['1 ', '2 ', '3 ', '4'],
      chunkDelayMs: 20,
      disconnect: { afterChunks: 3, how: 'stall' },
    })
    const received = []
    const recovery = { mode: 'restart', onRestart: () => received.push('RESTART') }
    const stream = client.stream({ messages: MESSAGES }, { recovery })
    for await (const delta of stream.textStream) {
      received.push(delta)
      // The other deltas arrive and wait. Before it requests the last of them, the reader exceeds the time of a turn,
      // and the break and the new answer have arrived.
      if (delta === '1 ') await new Promise((resolve) => setTimeout(resolve, 150))
      if (delta === '2 ') {
        const answered = () => simulator.requests.length === 2 && simulator.requests[1].endedBy !== 'open'
        blockUntil(answered)
      }
    }
    // Undelivered text is dropped.
    const at = received.indexOf('RESTART')
    assert.deepEqual(received.slice(at), ['RESTART', 'good'], `coalesce: ${coalesce}, ${received}`)
    assert.deepEqual(received.slice(0, at), ['1 ', '2 ', '3 '].slice(0, at), `coalesce: ${coalesce}`)
  }
})

for (const [faked, { timers, ticks }] of Object.entries({
  timers: { timers: true, ticks: false },
  ticks: { timers: false, ticks: true },
  both: { timers: true, ticks: true },
})) {
  test(`if timers or ticks are faked at load time (${faked}), slow readers still get everything`, async () => {
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
        for await (const delta of stream.textStream) {
          text += delta
          for (const end = performance.now() + 1; performance.now() < end; );
        }
        return text === 'ab'.repeat(30)
      }
      const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => read(index % 2 === 0)))
      console.log(answers.every(Boolean))
      // The last stream has ended before it is read: nothing else keeps the process alive.
      console.log(await read('alone'))
      exit()
    `,
    ])
    assert.deepEqual([ended.stdout, ended.code], ['true\ntrue\n', 0], ended.stderr)
  })
}
