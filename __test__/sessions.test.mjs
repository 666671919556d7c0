// The session of a call, and resuming an answer from a snapshot, in this process or another.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { HolySheepStreamingClient, StreamInterruptedError } from '../index.mjs'
import {
  ANSWER,
  CHUNKS,
  clientOf,
  contentOf,
  failure,
  KEY,
  MESSAGES,
  METHODS,
  pair,
  provider,
  REQUEST,
  until,
} from './support/provider.mjs'

/** Reads `count` deltas of a stream and abandons it like a process that dies: nothing is closed. */
async function readSome(stream, count) {
  const iterator = stream.textStream[Symbol.asyncIterator]()
  let text = ''
  for (let i = 0; i < count; i++) text += (await iterator.next()).value
  return text
}

/** The error of an answer that is interrupted by a permanent outage. */
async function permanentOutage(simulator, client) {
  simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } })
  simulator.setDefault({ status: 503 })
  const error = await failure(METHODS.textStream(client, []))
  simulator.setDefault({ chunks: CHUNKS })
  return error
}

describe('the session of a call', () => {
  test('is sent in a header of every attempt, and not in the body by default', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ status: 503 }, { chunks: CHUNKS, disconnect: { afterChunks: 2 } })
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
    test(`is sent as sendSessionId: ${JSON.stringify(sendSessionId)} specifies`, async (t) => {
      const { simulator, client } = await pair(t, { sendSessionId })
      const answer = await client.chat(REQUEST, { sessionId: 'mine' })
      const [{ headers, json }] = simulator.requests
      assert.deepEqual([headers['x-session-id'], json.session_id, answer._session_id], [inHeader, inBody, 'mine'])
    })
  }

  test("is sent as the endpoint's sendSessionId specifies, or else the client's", async (t) => {
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
    const rejects = () => new HolySheepStreamingClient(KEY, { sendSessionId: true })
    assert.throws(rejects, { code: 'INVALID_ARGUMENT', message })
  })

  test('can be named by the caller, and a session_id in the request takes precedence in the body', async (t) => {
    const { simulator, client } = await pair(t, { sendSessionId: 'both' })
    await client.chat(REQUEST, { sessionId: 'mine' })
    await client.chat({ ...REQUEST, session_id: 'custom' }, { sessionId: 'mine' })
    assert.deepEqual(
      simulator.requests.map(({ headers, json }) => [headers['x-session-id'], json.session_id]),
      [
        ['mine', 'mine'],
        ['mine', 'custom'],
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
  test('contains what the reader has consumed, and another client resumes from there', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 6, how: 'stall' } })
    const stream = client.stream(REQUEST)
    const before = await readSome(stream, 4)
    assert.equal(before, CHUNKS.slice(0, 4).join(''))
    const snapshot = JSON.parse(JSON.stringify(stream.snapshot()))
    assert.equal(snapshot.answer.text, before)
    assert.deepEqual(snapshot.request, REQUEST)
    stream.abort()

    const resumed = clientOf(t, simulator).resume(snapshot)
    let rest = ''
    for await (const delta of resumed.textStream) rest += delta
    assert.equal(before + rest, ANSWER)
    const { text, recoveries, segments, sessionId } = await resumed.result
    assert.deepEqual([text, recoveries, sessionId], [ANSWER, 1, snapshot.sessionId])
    assert.equal(
      segments.reduce((sum, { characters }) => sum + characters, 0),
      [...ANSWER].length,
    )
    const request = simulator.requests.at(-1)
    assert.equal(request.headers['x-session-id'], snapshot.sessionId)
    assert.deepEqual(request.json.messages.slice(0, 2), [...MESSAGES, { role: 'assistant', content: before }])
  })

  test('is the same when reading chunks, and their id stays the same', async (t) => {
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

  test('can be resumed by another process', async (t) => {
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
      // `spawnSync` blocks only this thread: the simulator runs on its own threads.
      resolve(spawnSync(process.execPath, ['-e', program, snapshot], { encoding: 'utf8' }))
    })
    assert.equal(stdout, ANSWER, stderr)
    assert.ok(ANSWER.startsWith(before))
  })

  test('can hold the messages as a hash, and then only the same messages resume it', async (t) => {
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

  test('of a complete answer sends no request, and one of an unstarted answer starts from the beginning', async (t) => {
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

  test('stays accurate while this thread is busy, even after an abort', async (t) => {
    for (const fault of [{}, { disconnect: { afterChunks: 5, how: 'reset' } }]) {
      const { simulator, client } = await pair(t, { maxRetries: 0 })
      simulator.script({ chunks: CHUNKS, ...fault })
      const stream = client.stream(REQUEST, { sessionId: 'mine' })
      const before = await readSome(stream, 1)
      // Rust finishes the call long before this loop ends.
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

  test('of a lagging reader reduces max_tokens by what the reader has consumed', async (t) => {
    const { simulator, client } = await pair(t)
    simulator.script({ text: 'a b c d e f g h ', chunkChars: 2, disconnect: { afterChunks: 8, how: 'stall' } })
    const stream = client.stream({ ...REQUEST, max_tokens: 8 })
    await readSome(stream, 3)
    await until(() => simulator.requests[0].bytesSent > 1500, 'the complete answer')
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

  test('that is invalid or of another version is rejected by name', async (t) => {
    const { client } = await pair(t)
    for (const [invalid, message] of [
      [undefined, /^snapshot: got undefined/],
      ['{}', /^snapshot: got a string/],
      [{}, /^snapshot: got an object without a version/],
      [{ version: 1 }, /^request: got undefined/],
      [{ version: 2, request: REQUEST }, /^snapshot\.version: got 2; accepted: 1/],
      [{ version: 1, request: REQUEST, sessionId: 's', attempts: 'many' }, /^snapshot: got an invalid snapshot/],
    ]) {
      assert.throws(() => client.resume(invalid), { name: 'TypeError', code: 'INVALID_ARGUMENT', message })
    }
  })
})

describe('an answer whose recovery fails', () => {
  test('has an error with the text received and a snapshot to resume', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 1 })
    const error = await permanentOutage(simulator, client)
    assert.ok(error instanceof StreamInterruptedError)
    assert.equal(error.partial, CHUNKS.slice(0, 3).join(''))
    assert.deepEqual(
      error.attempts.map(({ outcome }) => outcome),
      ['ECONNRESET', 'SERVER_ERROR'],
    )
    assert.equal(error.cause.code, 'RETRIES_EXHAUSTED')
    assert.equal(error.snapshot.answer.text, error.partial)
    const resumed = client.resume(JSON.parse(JSON.stringify(error.snapshot)))
    let rest = ''
    for await (const delta of resumed.textStream) rest += delta
    assert.equal(error.partial + rest, ANSWER)
    assert.equal((await resumed.result).attempts.length, 3)
  })

  test('does not log the conversation', async (t) => {
    const { simulator, client } = await pair(t, { maxRetries: 0 })
    const error = await permanentOutage(simulator, client)
    assert.ok(error.snapshot)
    const logged = inspect(error, { depth: 9 }) + JSON.stringify(error)
    assert.ok(!logged.includes(`${MESSAGES[0].content}"`) && !logged.includes('messagesSha256'))
  })

  test('has the same error through streamWithRetry and chat', async (t) => {
    for (const method of ['streamWithRetry', 'chat']) {
      const { simulator, client } = await pair(t, { maxRetries: 0 })
      simulator.script({ chunks: CHUNKS, disconnect: { afterChunks: 3, how: 'reset' } })
      const error = await failure(METHODS[method](client, []))
      assert.deepEqual(
        [error.code, error.snapshot.answer.text],
        ['STREAM_INTERRUPTED', CHUNKS.slice(0, 3).join('')],
        method,
      )
      assert.equal(await client.resume(error.snapshot).text(), ANSWER)
    }
  })
})
