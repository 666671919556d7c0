// validateApiKey and createClientWithTimeout (document 004).
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createClientWithTimeout, validateApiKey } from '../../index.mjs'
import { clockOf, END, eventOf, failure, KEY, manualProvider, provider, REQUEST, until } from '../support/provider.mjs'

describe('validateApiKey', () => {
  test('takes a key with white space around it', () => {
    assert.equal(validateApiKey(KEY), true)
    assert.equal(validateApiKey(` sk-${'x'.repeat(17)}\n`), true)
  })

  test('says what is wrong with a key and never shows it', () => {
    for (const [key, why] of [
      ['pk-SECRETSECRETSECRETSECRET', /does not start with 'sk-'/],
      ['sk-SECRET', /of 9 characters/],
      ['sk-SECRETSECRET SECRETSECRET', /position 15/],
      ['   ', /an empty string/],
      [undefined, /type undefined/],
      [null, /null/],
      [{ SECRET: 1 }, /type object/],
    ]) {
      assert.throws(
        () => validateApiKey(key),
        (error) => {
          assert.equal(error.code, 'INVALID_ARGUMENT')
          assert.match(error.message, why)
          assert.match(error.message, /accepted: a key that starts with 'sk-' and has at least 20 characters/)
          assert.doesNotMatch(error.message + error.stack.split('\n')[0], /SECRET/)
          return true
        },
      )
    }
  })
})

describe('createClientWithTimeout', () => {
  test('the short one gives up on a silent provider after 10 s, though it is the only route', async (t) => {
    const clock = clockOf(t, { settleMs: 30 })
    const simulator = await provider(t, { default: { hang: true } })
    const client = createClientWithTimeout('short', { apiKey: KEY, baseUrl: simulator.url, maxRetries: 0 })
    const call = failure(client.chat(REQUEST))
    await until(() => simulator.requests.length === 1)
    await clock.advance(10_000)
    const error = await call
    assert.deepEqual([error.name, error.phase], ['TimeoutError', 'first-token'])
    assert.match(error.message, /within 10000 ms/)
  })

  test('it bounds the silence and not the answer', async (t) => {
    const clock = clockOf(t, { settleMs: 5 })
    const pieces = Array.from({ length: 12 }, (_, i) => `${i} `)
    const byHand = await manualProvider(t)
    const limits = { firstTokenTimeoutMs: 300, idleTimeoutMs: 300, maxRetries: 0, recovery: false }
    const client = createClientWithTimeout('long', { apiKey: KEY, baseUrl: byHand.url, ...limits })
    const stream = client.stream(REQUEST)
    const reader = stream.textStream[Symbol.asyncIterator]()
    await until(() => byHand.requests.length === 1)
    byHand.requests[0].begin()
    for (const piece of pieces) {
      byHand.requests[0].response.write(eventOf(piece))
      assert.equal((await reader.next()).value, piece)
      await clock.advance(200)
    }
    byHand.requests[0].response.end(END)
    assert.equal(await stream.text(), pieces.join(''))
  })

  test('it retries twice, and options override', async (t) => {
    const simulator = await provider(t, { default: { status: 500 } })
    const options = { apiKey: KEY, baseUrl: simulator.url, retry: { baseDelayMs: 1 } }
    for (const [client, requests] of [
      [createClientWithTimeout(undefined, options), 3],
      [createClientWithTimeout('medium', { ...options, maxRetries: 0 }), 1],
      [createClientWithTimeout('something else', options), 3],
    ]) {
      simulator.clear()
      await failure(client.chat(REQUEST))
      assert.equal(simulator.requests.length, requests)
    }
    assert.throws(() => createClientWithTimeout(5), { code: 'INVALID_ARGUMENT' })
  })
})
