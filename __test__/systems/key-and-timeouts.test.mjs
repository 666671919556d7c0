// validateApiKey and createClientWithTimeout (HolySheep tutorial 004).
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createClientWithTimeout, validateApiKey } from '../../index.mjs'
import { clockOf, END, eventOf, failure, KEY, manualProvider, provider, REQUEST, until } from '../support/provider.mjs'

describe('validateApiKey', () => {
  test('accepts a key with surrounding whitespace', () => {
    assert.equal(validateApiKey(KEY), true)
    assert.equal(validateApiKey(` sk-${'x'.repeat(17)}\n`), true)
  })

  test('explains what is wrong with a key without showing it', () => {
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
  test('a short client allows 10 s until the first token, even on the only route', async (t) => {
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

  test('limits the silence between chunks, not the length of the answer', async (t) => {
    const clock = clockOf(t, { settleMs: 5 })
    const texts = Array.from({ length: 12 }, (_, i) => `${i} `)
    const server = await manualProvider(t)
    const limits = { firstTokenTimeoutMs: 300, idleTimeoutMs: 300, maxRetries: 0, recovery: false }
    const client = createClientWithTimeout('long', { apiKey: KEY, baseUrl: server.url, ...limits })
    const stream = client.stream(REQUEST)
    const reader = stream.textStream[Symbol.asyncIterator]()
    await until(() => server.requests.length === 1)
    server.requests[0].begin()
    for (const text of texts) {
      server.requests[0].response.write(eventOf(text))
      assert.equal((await reader.next()).value, text)
      await clock.advance(200)
    }
    server.requests[0].response.end(END)
    assert.equal(await stream.text(), texts.join(''))
  })

  test('retries twice by default, and options override that', async (t) => {
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
