// validateApiKey and createClientWithTimeout (document 004).
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createClientWithTimeout, validateApiKey } from '../../index.mjs'
import { failure, KEY, provider, REQUEST } from '../support/provider.mjs'

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
    const simulator = await provider(t, { default: { hang: true } })
    const client = createClientWithTimeout('short', { apiKey: KEY, baseUrl: simulator.url, maxRetries: 0 })
    const error = await failure(client.chat(REQUEST))
    assert.deepEqual([error.name, error.phase], ['TimeoutError', 'first-token'])
    assert.match(error.message, /within 10000 ms/)
  })

  test('it bounds the silence and not the answer', async (t) => {
    const pieces = Array.from({ length: 12 }, (_, i) => `${i} `)
    const simulator = await provider(t, { default: { chunks: pieces, chunkDelayMs: 40 } })
    const limits = { firstTokenTimeoutMs: 300, idleTimeoutMs: 300 }
    const client = createClientWithTimeout('long', { apiKey: KEY, baseUrl: simulator.url, ...limits })
    assert.equal(await client.stream(REQUEST).text(), pieces.join(''))
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
