// The documents' ResilientStreamingClient, and the faults of theirs that this one does not have.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ResilientStreamingClient, StreamInterruptedError } from '../../index.mjs'
import { ANSWER, CHUNKS, clockOf, failure, KEY, MESSAGES, passTime, provider, until } from '../support/provider.mjs'

/** A client of a simulator, whose waits are short. */
async function resilient(t, options = {}) {
  const simulator = await provider(t)
  const retry = { baseDelayMs: 1, maxDelayMs: 2 }
  const client = new ResilientStreamingClient(KEY, { baseUrl: simulator.url, retry, ...options })
  t.after(() => client.close())
  return { simulator, client }
}
const cut = (afterChunks, how = 'reset') => ({ chunks: CHUNKS, disconnect: { afterChunks, how } })

test('an interrupted answer is finished; nothing comes twice', async (t) => {
  const { simulator, client } = await resilient(t)
  simulator.script(cut(2), { ...cut(2), onContinue: 'restart' }, { chunks: CHUNKS, onContinue: 'word' })
  const progress = []
  const completed = []
  const outcome = await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, {
    onProgress: (content) => progress.push(content),
    onComplete: (response) => completed.push(response),
    onError: assert.fail,
  })
  assert.deepEqual(outcome, { success: true, response: ANSWER, attempts: 3 })
  assert.equal(progress.join(''), ANSWER)
  assert.deepEqual(completed, [ANSWER])
})

test('the text and the last id are true at every moment', async (t) => {
  const { simulator, client } = await resilient(t)
  simulator.script(cut(3))
  assert.deepEqual([client.lastReceivedId, client.accumulatedContent], [null, ''])
  let text = ''
  await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, {
    onProgress(content) {
      text += content
      assert.equal(client.accumulatedContent, text)
      assert.match(client.lastReceivedId, /^chatcmpl-/)
    },
  })
  assert.equal(client.accumulatedContent, ANSWER)
})

test('every attempt belongs to one session, in the header and in the body', async (t) => {
  const { simulator, client } = await resilient(t)
  simulator.script({ status: 503 }, cut(2))
  await client.smartStreamWithRecovery('gpt-4.1', MESSAGES)
  const sessions = simulator.requests.flatMap(({ headers, json }) => [headers['x-session-id'], json.session_id])
  assert.equal(sessions.length, 6)
  assert.equal(new Set(sessions).size, 1)
  assert.match(sessions[0], /^session_\d+_[0-9a-z]{9}$/)
})

test('messages do not pile up: each request is built from the original ones', async (t) => {
  const { simulator, client } = await resilient(t)
  simulator.script(cut(1), cut(1), cut(1))
  const messages = structuredClone(MESSAGES)
  await client.smartStreamWithRecovery('gpt-4.1', messages)
  assert.deepEqual(messages, MESSAGES)
  const counts = simulator.requests.map(({ json }) => json.messages.length)
  assert.deepEqual(counts, [1, 3, 3, 3])
})

test('maxRetries counts attempts in all; then the message is that of the documents, with the cause beside it', async (t) => {
  const { simulator, client } = await resilient(t)
  simulator.script(...Array.from({ length: 9 }, () => cut(1)))
  const told = []
  const options = { maxRetries: 3, onError: (error) => told.push(error) }
  const outcome = await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, options)
  const { success, error, cause, response, attempts } = outcome
  assert.deepEqual([success, error, attempts], [false, 'Max retries exceeded', 3])
  assert.equal(response, CHUNKS.slice(0, 3).join(''))
  assert.ok(cause instanceof StreamInterruptedError)
  assert.equal(simulator.requests.length, 3)
  assert.equal(told.length, 1)
  assert.deepEqual([told[0].message, told[0].cause], ['Max retries exceeded', cause])
})

test('what asking again cannot mend is told at once', async (t) => {
  for (const [status, code] of [
    [400, 'INVALID_REQUEST'],
    [401, 'AUTH_FAILED'],
    [403, 'AUTH_FAILED'],
    [404, 'INVALID_REQUEST'],
    [422, 'INVALID_REQUEST'],
  ]) {
    const { simulator, client } = await resilient(t)
    simulator.setDefault({ status })
    const told = []
    const outcome = await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, { onError: (error) => told.push(error) })
    assert.deepEqual([outcome.success, outcome.error.code, outcome.attempts, outcome.response], [false, code, 1, ''])
    assert.deepEqual(told, [outcome.error])
    assert.equal(client.isRecoverable(outcome.error), false)
  }
  const { client } = await resilient(t)
  assert.equal(client.isRecoverable({ code: 'CONTENT_FILTERED' }), false)
  assert.equal(client.isRecoverable({ code: 'ECONNRESET' }), true)
  assert.equal(client.isRecoverable(new Error('what?')), true)
})

test('the timeout bounds silence, not the whole answer', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const { simulator, client } = await resilient(t, { retry: { baseDelayMs: 0 } })
  simulator.script({ hang: true }, { ...cut(4, 'stall') }, { chunks: CHUNKS, chunkDelayMs: 20 })
  let received = ''
  const onProgress = (piece) => {
    received += piece
  }
  const call = client.smartStreamWithRecovery('gpt-4.1', MESSAGES, { timeout: 150, onProgress })
  await until(() => simulator.requests.length === 1)
  await passTime(clock, 150, () => simulator.requests.length === 2)
  await until(() => received === CHUNKS.slice(0, 4).join(''))
  await passTime(clock, 150, () => simulator.requests.length === 3)
  // More time than 150 ms in all, and less between one piece and the next.
  for (const [piece] of CHUNKS.slice(0, -1).entries()) {
    await until(() => received.length >= CHUNKS.slice(0, piece + 1).join('').length)
    await clock.advance(50)
  }
  const outcome = await call
  assert.deepEqual(outcome, { success: true, response: ANSWER, attempts: 3 })
})

test('streamSession is one attempt and resolves to its text', async (t) => {
  const { simulator, client } = await resilient(t)
  const progress = []
  const text = await client.streamSession('deepseek-v3.2', MESSAGES, 'session_1', 1000, (part) => progress.push(part))
  assert.deepEqual([text, progress.join('')], [ANSWER, ANSWER])
  const [{ json, headers }] = simulator.requests
  assert.deepEqual([json.model, json.session_id, headers['x-session-id']], ['deepseek-v3.2', 'session_1', 'session_1'])
  simulator.script(cut(2))
  const error = await failure(client.streamSession('gpt-4.1', MESSAGES, 'session_1'))
  assert.ok(error instanceof StreamInterruptedError)
  assert.equal(simulator.requests.length, 2)
})

test('a callback that throws, or an abort of the process, ends the call and loses nothing', async (t) => {
  const { client } = await resilient(t)
  const fault = new Error('mine')
  const outcome = await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, {
    onProgress() {
      throw fault
    },
  })
  assert.deepEqual([outcome.success, outcome.error, outcome.attempts], [false, fault, 1])
  assert.equal(outcome.response, CHUNKS[0])
})

test('the recovery context quotes the last 200 characters, never half of one, and leaves the messages alone', async (t) => {
  const { client } = await resilient(t)
  const partial = `before${'👍🏽'.repeat(150)}`
  const context = client.buildRecoveryContext(MESSAGES, partial)
  assert.deepEqual(context.slice(0, -1), MESSAGES)
  assert.equal(context.at(-1).role, 'system')
  assert.ok(context.at(-1).content.includes(`“${'👍🏽'.repeat(100)}”`))
  assert.throws(() => client.buildRecoveryContext('hi', ''), { code: 'INVALID_ARGUMENT' })
})

test('its waits are 2, 4, 8 and then 10 s unless others are given', async () => {
  const client = new ResilientStreamingClient(KEY)
  assert.equal(client.baseDelay, 2000)
  assert.equal(client.baseUrl, 'api.holysheep.ai')
  await assert.rejects(client.smartStreamWithRecovery('m', MESSAGES, { maxRetries: 0 }), { code: 'INVALID_ARGUMENT' })
  await assert.rejects(client.smartStreamWithRecovery('m', MESSAGES, { retries: 1 }), /retries: unknown option/)
  await client.close()
})
