// An answer has a session, and can be taken up again from a snapshot, in this process or another.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { HolySheepStreamingClient, StreamInterruptedError } from '../index.mjs'
import {
  ANSWER,
  clientOf,
  contentOf,
  FACES,
  failure,
  KEY,
  MESSAGES,
  PIECES,
  pair,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

/** Reads so many pieces of a stream and leaves it as a process does that dies: nothing is closed. */
async function readSome(stream, count) {
  const iterator = stream.textStream[Symbol.asyncIterator]()
  let text = ''
  for (let i = 0; i < count; i++) text += (await iterator.next()).value
  return text
}

/** What an outage for good leaves of an answer. */
async function givenUp(simulator, client) {
  simulator.script({ chunks: PIECES, disconnect: { afterChunks: 3, how: 'reset' } })
  simulator.setDefault({ status: 503 })
  const error = await failure(FACES.textStream(client, []))
  simulator.setDefault({ chunks: PIECES })
  return error
}

describe('the session of a call', () => {
  test('is named on every attempt, and in no body of a strict provider', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ status: 503 }, { chunks: PIECES, disconnect: { afterChunks: 2 } })
    const stream = client.stream(REQUEST)
    await stream.text()
    const { sessionId } = await stream.result
    assert.match(sessionId, /^session_\d{13}_[0-9a-z]{9}$/)
    assert.equal(simulator.requests.length, 3)
    for (const { headers, json } of simulator.requests) {
      assert.equal(headers['x-session-id'], sessionId)
      assert.ok(!('session_id' in json))
    }
    await client.chat(REQUEST)
    assert.notEqual(simulator.requests[3].headers['x-session-id'], sessionId)
  })

  for (const [sendSessionId, inHeader, inBody] of [
    ['header', 'mine', undefined],
    ['body', undefined, 'mine'],
    ['both', 'mine', 'mine'],
    [false, undefined, undefined],
  ]) {
    test(`is sent where sendSessionId: ${JSON.stringify(sendSessionId)} says`, async (t) => {
      const { simulator, client } = await pair(t, { sendSessionId })
      const answer = await client.chat(REQUEST, { sessionId: 'mine' })
      const [{ headers, json }] = simulator.requests
      assert.deepEqual([headers['x-session-id'], json.session_id, answer._session_id], [inHeader, inBody, 'mine'])
    })
  }

  test('is sent to each endpoint as that endpoint says, else as the client does', async (t) => {
    const simulator = await provider(t, { default: { status: 503 } })
    const endpoints = [{ baseUrl: simulator.url, sendSessionId: 'body' }, { baseUrl: simulator.url }]
    const client = new HolySheepStreamingClient(KEY, { endpoints, sendSessionId: false, maxRetries: 0 })
    await failure(client.chat(REQUEST, { sessionId: 'mine' }))
    assert.deepEqual(
      simulator.requests.map(({ headers, json }) => [headers['x-session-id'], json.session_id]),
      [
        [undefined, 'mine'],
        [undefined, undefined],
      ],
    )
    const message = "sendSessionId: got true; accepted: 'header', 'body', 'both' or false"
    const refused = () => new HolySheepStreamingClient(KEY, { sendSessionId: true })
    assert.throws(refused, { code: 'INVALID_ARGUMENT', message })
  })

  test('can be named by the caller, and goes into the body where the endpoint wants it', async (t) => {
    const { simulator, client } = await pair(t, { sendSessionId: 'both' })
    await client.chat(REQUEST, { sessionId: 'mine' })
    await client.chat({ ...REQUEST, session_id: 'own' }, { sessionId: 'mine' })
    assert.deepEqual(
      simulator.requests.map(({ headers, json }) => [headers['x-session-id'], json.session_id]),
      [
        ['mine', 'mine'],
        ['mine', 'own'],
      ],
    )
    assert.throws(() => client.stream(REQUEST, { sessionId: 'two words' }), {
      code: 'INVALID_ARGUMENT',
      message: /sessionId/,
    })
    await assert.rejects(client.chat(REQUEST, { headers: { 'X-Session-ID': 'x' } }), /sessionId/)
  })
})

describe('a snapshot', () => {
  test('holds what the reader has taken, and another client goes on from there', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ chunks: PIECES, disconnect: { afterChunks: 6, how: 'stall' } })
    const stream = client.stream(REQUEST)
    const before = await readSome(stream, 4)
    assert.equal(before, PIECES.slice(0, 4).join(''))
    const snapshot = JSON.parse(JSON.stringify(stream.snapshot()))
    assert.equal(snapshot.answer.text, before)
    assert.deepEqual(snapshot.request, REQUEST)
    stream.abort()

    const resumed = clientOf(t, simulator).resume(snapshot)
    let rest = ''
    for await (const piece of resumed.textStream) rest += piece
    assert.equal(before + rest, ANSWER)
    const { text, recoveries, segments, sessionId } = await resumed.result
    assert.deepEqual([text, recoveries, sessionId], [ANSWER, 1, snapshot.sessionId])
    assert.equal(
      segments.reduce((sum, { characters }) => sum + characters, 0),
      [...ANSWER].length,
    )
    const asked = simulator.requests.at(-1)
    assert.equal(asked.headers['x-session-id'], snapshot.sessionId)
    assert.deepEqual(asked.json.messages.slice(0, 2), [...MESSAGES, { role: 'assistant', content: before }])
  })

  test('is the same from chunks, and their identity stays', async (t) => {
    const { simulator, client } = await pair(t)
    const stream = client.stream(REQUEST)
    const chunks = []
    for await (const chunk of stream) {
      chunks.push(chunk)
      if (chunks.length === 3) break
    }
    const snapshot = stream.snapshot()
    assert.equal(snapshot.answer.text, chunks.map(contentOf).join(''))
    for await (const chunk of client.resume(snapshot)) chunks.push(chunk)
    assert.equal(chunks.map(contentOf).join(''), ANSWER)
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1)
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop')
    assert.equal(simulator.requests.length, 2)
  })

  test('is resumed by another process', async (t) => {
    const { simulator, client } = await pair(t)
    const stream = client.stream(REQUEST)
    const before = await readSome(stream, 2)
    const program = `
      const { HolySheepStreamingClient } = require('holysheep')
      const client = new HolySheepStreamingClient('${KEY}', { baseUrl: '${simulator.url}' })
      client.resume(JSON.parse(process.argv[1])).text().then((text) => process.stdout.write(text))`
    const snapshot = JSON.stringify(stream.snapshot())
    stream.abort()
    assert.ok(!snapshot.includes(KEY))
    const { stdout, stderr } = await new Promise((resolve) => {
      // Not `spawnSync`: the simulator may live in this process, but its threads are its own.
      resolve(spawnSync(process.execPath, ['-e', program, snapshot], { encoding: 'utf8' }))
    })
    assert.equal(stdout, ANSWER, stderr)
    assert.ok(ANSWER.startsWith(before))
  })

  test('can hold the messages as a hash: then only the same messages resume it', async (t) => {
    const { client } = await pair(t)
    const stream = client.stream(REQUEST)
    await readSome(stream, 2)
    const snapshot = stream.snapshot({ messages: 'hash' })
    stream.abort()
    assert.ok(!('request' in snapshot) && /^[0-9a-f]{64}$/.test(snapshot.messagesSha256))
    assert.throws(() => client.resume(snapshot), { code: 'INVALID_ARGUMENT', message: /^request: got undefined/ })
    const other = { messages: [{ role: 'user', content: 'secret words' }] }
    assert.throws(
      () => client.resume(snapshot, other),
      ({ message }) => {
        return /^request\.messages: got other messages/.test(message) && !message.includes('secret')
      },
    )
    assert.equal(await client.resume(snapshot, { ...REQUEST, temperature: 0 }).text(), ANSWER)
    assert.throws(() => stream.snapshot({ messages: 'none' }), { code: 'INVALID_ARGUMENT' })
  })

  test('of an answer that is whole asks nobody, and of one that has not begun asks anew', async (t) => {
    const { simulator, client } = await pair(t)
    const stream = client.stream(REQUEST)
    await stream.text()
    await stream.result
    const again = client.resume(stream.snapshot())
    assert.equal(await again.text(), ANSWER)
    assert.equal((await again.result).finishReason, 'stop')
    assert.equal(simulator.requests.length, 1)

    const fresh = client.stream(REQUEST)
    const snapshot = fresh.snapshot()
    fresh.abort()
    assert.equal(snapshot.answer.text, '')
    assert.equal(await client.resume(snapshot).text(), ANSWER)
    assert.deepEqual(simulator.requests.at(-1).json.messages, MESSAGES)
  })

  test('stays true while this thread is busy, and after an abort in that time', async (t) => {
    for (const fault of [{}, { disconnect: { afterChunks: 5, how: 'reset' } }]) {
      const { simulator, client } = await pair(t, { maxRetries: 0 })
      simulator.script({ chunks: PIECES, ...fault })
      const stream = client.stream(REQUEST, { sessionId: 'mine' })
      const before = await readSome(stream, 1)
      // Rust is done with the call long before this loop ends.
      await until(() => simulator.requests[0]?.endedBy !== 'open', 'the end of the answer')
      for (const until = Date.now() + 60; Date.now() < until; );
      for (const when of ['at once', 'after an abort']) {
        const { sessionId, answer } = stream.snapshot()
        assert.deepEqual([sessionId, answer.text, answer.deltas, answer.complete], ['mine', before, 1, undefined], when)
        stream.abort(Object.assign(new Error('mine'), { snapshot: { answer: { text: 'not mine' } } }))
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  })

  test('of a reader that lags is reduced in its tokens by what the reader has', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ text: 'a b c d e f g h ', chunkChars: 2, disconnect: { afterChunks: 8, how: 'stall' } })
    const stream = client.stream({ ...REQUEST, max_tokens: 8 })
    await readSome(stream, 3)
    await until(() => simulator.requests[0].bytesSent > 1500, 'the whole answer')
    const snapshot = stream.snapshot()
    stream.abort()
    assert.equal(snapshot.answer.deltas, 3)
    simulator.setDefault({ text: 'a b c d e f g h ', chunkChars: 2 })
    const resumed = client.resume(snapshot)
    assert.equal(await resumed.text(), 'a b c d e f g h ')
    assert.equal(simulator.requests.at(-1).json.max_tokens, 5)
    const again = resumed.snapshot()
    assert.deepEqual([again.answer.complete, again.answer.text], [true, 'a b c d e f g h '])
    assert.equal(typeof again.costUsd, 'number')
  })

  test('that is none, or of another version, is refused by name', async (t) => {
    const { client } = await pair(t)
    for (const [given, message] of [
      [undefined, /^snapshot: got undefined/],
      ['{}', /^snapshot: got a string/],
      [{}, /^snapshot: got an object without a version/],
      [{ version: 1 }, /^request: got undefined/],
      [{ version: 2, request: REQUEST }, /^snapshot\.version: got 2; accepted: 1/],
      [{ version: 1, request: REQUEST, sessionId: 's', attempts: 'many' }, /^snapshot: got an invalid snapshot/],
    ]) {
      assert.throws(() => client.resume(given), { name: 'TypeError', code: 'INVALID_ARGUMENT', message })
    }
  })
})

describe('an answer that is given up', () => {
  test('leaves an error with what was received, and the snapshot to resume', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 1 })
    const error = await givenUp(simulator, client)
    assert.ok(error instanceof StreamInterruptedError)
    assert.equal(error.partial, PIECES.slice(0, 3).join(''))
    assert.deepEqual(
      error.attempts.map(({ outcome }) => outcome),
      ['ECONNRESET', 'SERVER_ERROR'],
    )
    assert.equal(error.cause.code, 'RETRIES_EXHAUSTED')
    assert.equal(error.snapshot.answer.text, error.partial)
    const resumed = client.resume(JSON.parse(JSON.stringify(error.snapshot)))
    assert.equal(error.partial + (await readSome(resumed, PIECES.length - 3)), ANSWER)
    assert.equal((await resumed.result).attempts.length, 3)
  })

  test('shows the conversation in no log', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 0 })
    const error = await givenUp(simulator, client)
    assert.ok(error.snapshot)
    const logged = inspect(error, { depth: 9 }) + JSON.stringify(error)
    assert.ok(!logged.includes(`${MESSAGES[0].content}"`) && !logged.includes('messagesSha256'))
  })

  test('through streamWithRetry and chat has the same error', async (t) => {
    for (const face of ['streamWithRetry', 'chat']) {
      const { simulator, client } = await pair(t, { maxRetries: 0 })
      simulator.script({ chunks: PIECES, disconnect: { afterChunks: 3, how: 'reset' } })
      const error = await failure(FACES[face](client, []))
      assert.deepEqual(
        [error.code, error.snapshot.answer.text],
        ['STREAM_INTERRUPTED', PIECES.slice(0, 3).join('')],
        face,
      )
      assert.equal(await client.resume(error.snapshot).text(), ANSWER)
    }
  })
})
