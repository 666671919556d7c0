// ResilientStreamingClient (HolySheep tutorial 002), without the faults of the tutorial's own code.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ResilientStreamingClient, StreamInterruptedError } from '../../index.mjs'
import {
  ANSWER,
  CHUNKS,
  clockOf,
  END,
  eventOf,
  failure,
  KEY,
  MESSAGES,
  manualProvider,
  passTime,
  provider,
  until,
} from '../support/provider.mjs'

/** A simulator, and a client of it with short delays. */
async function setup(t, options = {}) {
  const simulator = await provider(t)
  const retry = { baseDelayMs: 1, maxDelayMs: 2 }
  const client = new ResilientStreamingClient(KEY, { baseUrl: simulator.url, retry, ...options })
  t.after(() => client.close())
  return { simulator, client }
}
const interrupted = (afterChunks, how = 'reset') => ({ chunks: CHUNKS, disconnect: { afterChunks, how } })

test('an interrupted answer is completed without duplicate text', async (t) => {
  const { simulator, client } = await setup(t)
  simulator.script(interrupted(2), { ...interrupted(2), onContinue: 'restart' }, { chunks: CHUNKS, onContinue: 'word' })
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

test('accumulatedContent and lastReceivedId are current in every onProgress call', async (t) => {
  const { simulator, client } = await setup(t)
  simulator.script(interrupted(3))
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

test('every attempt sends the same session id, in the header and in the body', async (t) => {
  const { simulator, client } = await setup(t)
  simulator.script({ status: 503 }, interrupted(2))
  await client.smartStreamWithRecovery('gpt-4.1', MESSAGES)
  const sessions = simulator.requests.flatMap(({ headers, json }) => [headers['x-session-id'], json.session_id])
  assert.equal(sessions.length, 6)
  assert.equal(new Set(sessions).size, 1)
  assert.match(sessions[0], /^session_\d+_[0-9a-z]{9}$/)
})

test('messages do not accumulate, because every request is built from the original ones', async (t) => {
  const { simulator, client } = await setup(t)
  simulator.script(interrupted(1), interrupted(1), interrupted(1))
  const messages = structuredClone(MESSAGES)
  await client.smartStreamWithRecovery('gpt-4.1', messages)
  assert.deepEqual(messages, MESSAGES)
  const counts = simulator.requests.map(({ json }) => json.messages.length)
  assert.deepEqual(counts, [1, 3, 3, 3])
})

test('maxRetries is the total number of attempts, after which the error has the tutorial’s message and a cause', async (t) => {
  const { simulator, client } = await setup(t)
  simulator.script(...Array.from({ length: 9 }, () => ({ ...interrupted(1), onContinue: 'exact' })))
  const errors = []
  const options = { maxRetries: 3, onError: (error) => errors.push(error) }
  const outcome = await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, options)
  const { success, error, cause, response, attempts } = outcome
  assert.deepEqual([success, error, attempts], [false, 'Max retries exceeded', 3])
  assert.equal(response, CHUNKS.slice(0, 3).join(''))
  assert.ok(cause instanceof StreamInterruptedError)
  assert.equal(simulator.requests.length, 3)
  assert.equal(errors.length, 1)
  assert.deepEqual([errors[0].message, errors[0].cause], ['Max retries exceeded', cause])
})

test('an error that is not retryable is reported after one attempt', async (t) => {
  for (const [status, code] of [
    [400, 'INVALID_REQUEST'],
    [401, 'AUTH_FAILED'],
    [403, 'AUTH_FAILED'],
    [404, 'INVALID_REQUEST'],
    [422, 'INVALID_REQUEST'],
  ]) {
    const { simulator, client } = await setup(t)
    simulator.setDefault({ status })
    const errors = []
    const outcome = await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, {
      onError: (error) => errors.push(error),
    })
    assert.deepEqual([outcome.success, outcome.error.code, outcome.attempts, outcome.response], [false, code, 1, ''])
    assert.deepEqual(errors, [outcome.error])
    assert.equal(client.isRecoverable(outcome.error), false)
  }
  const { client } = await setup(t)
  assert.equal(client.isRecoverable({ code: 'CONTENT_FILTERED' }), false)
  assert.equal(client.isRecoverable({ code: 'ECONNRESET' }), true)
  assert.equal(client.isRecoverable(new Error('what?')), true)
})

test('the timeout limits the silence between chunks, not the length of the answer', async (t) => {
  const clock = clockOf(t, { settleMs: 5 })
  const manual = await manualProvider(t)
  const { client } = await setup(t, { baseUrl: manual.url, retry: { baseDelayMs: 0 } })
  let received = ''
  const onProgress = (text) => {
    received += text
  }
  const call = client.smartStreamWithRecovery('gpt-4.1', MESSAGES, { timeout: 150, onProgress })
  await until(() => manual.requests.length === 1)
  await passTime(clock, 150, () => manual.requests.length === 2)
  const stalled = CHUNKS.slice(0, 4)
  manual.requests[1].begin().write(stalled.map((text) => eventOf(text)).join(''))
  await until(() => received === stalled.join(''))
  await passTime(clock, 150, () => manual.requests.length === 3)
  // More than 150 ms in total, but less between two chunks.
  const response = manual.requests[2].begin()
  for (const text of CHUNKS.slice(4)) {
    response.write(eventOf(text))
    await clock.advance(100)
  }
  response.end(END)
  const outcome = await call
  assert.deepEqual(outcome, { success: true, response: ANSWER, attempts: 3 })
})

test('streamSession makes one attempt and resolves to the text', async (t) => {
  const { simulator, client } = await setup(t)
  const progress = []
  const text = await client.streamSession('deepseek-v3.2', MESSAGES, 'session_1', 1000, (delta) => progress.push(delta))
  assert.deepEqual([text, progress.join('')], [ANSWER, ANSWER])
  const [{ json, headers }] = simulator.requests
  assert.deepEqual([json.model, json.session_id, headers['x-session-id']], ['deepseek-v3.2', 'session_1', 'session_1'])
  simulator.script(interrupted(2))
  const error = await failure(client.streamSession('gpt-4.1', MESSAGES, 'session_1'))
  assert.ok(error instanceof StreamInterruptedError)
  assert.equal(simulator.requests.length, 2)
})

test('an error thrown by a callback ends the call and keeps the partial response', async (t) => {
  const { client } = await setup(t)
  const fault = new Error('mine')
  const outcome = await client.smartStreamWithRecovery('gpt-4.1', MESSAGES, {
    onProgress() {
      throw fault
    },
  })
  assert.deepEqual([outcome.success, outcome.error, outcome.attempts], [false, fault, 1])
  assert.equal(outcome.response, CHUNKS[0])
})

test('the recovery context quotes the last 200 characters without splitting one and does not modify the messages', async (t) => {
  const { client } = await setup(t)
  const partial = `before${'👍🏽'.repeat(150)}`
  const context = client.buildRecoveryContext(MESSAGES, partial)
  assert.deepEqual(context.slice(0, -1), MESSAGES)
  assert.equal(context.at(-1).role, 'system')
  assert.ok(context.at(-1).content.includes(`“${'👍🏽'.repeat(100)}”`))
  assert.throws(() => client.buildRecoveryContext('hi', ''), { code: 'INVALID_ARGUMENT' })
})

test('the base delay is 2 s by default, and invalid options reject', async () => {
  const client = new ResilientStreamingClient(KEY)
  assert.equal(client.baseDelay, 2000)
  assert.equal(client.baseUrl, 'api.holysheep.ai')
  await assert.rejects(client.smartStreamWithRecovery('m', MESSAGES, { maxRetries: 0 }), { code: 'INVALID_ARGUMENT' })
  await assert.rejects(client.smartStreamWithRecovery('m', MESSAGES, { retries: 1 }), /retries: unknown option/)
  await client.close()
})
