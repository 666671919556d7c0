// The key is in one header of the request and nowhere else.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { HolySheepStreamingClient, RateLimitedClient } from '../index.mjs'
import { failure, MESSAGES, pair, provider, QUICK, REQUEST } from './support/provider.mjs'

/** Everything that printing an error reveals. */
const printed = (error) =>
  [inspect(error, { depth: 9, showHidden: true }), error.stack, JSON.stringify(error), String(error)].join('\n')

test('printing a client reveals no key', () => {
  for (const Client of [HolySheepStreamingClient, RateLimitedClient]) {
    const key = 'plain-word-of-a-key'
    const client = new Client(key, { endpoints: [{ baseUrl: 'a.example', apiKey: 'another-plain-key' }] })
    assert.equal(client.apiKey, key)
    const all = [
      inspect(client),
      inspect(client, { showHidden: true, depth: 9, getters: false }),
      inspect({ client }),
      JSON.stringify(client),
      JSON.stringify({ ...client }),
      `${Object.getOwnPropertyNames(client)}`,
    ].join('\n')
    assert.ok(!/plain/.test(all), all)
    assert.ok(!Object.keys(client).includes('apiKey'))
    const names = []
    for (const name in client) names.push(name)
    assert.ok(!names.includes('apiKey'))
  }
})

// Keys without a known format are masked because the client knows them.
for (const key of ['sk-abcdefghijklmnopqrstuvwxyz', 'YOUR_HOLYSHEEP_API_KEY', 'zwölf'.replace('ö', 'oe').repeat(4)]) {
  test(`a key that the provider echoes (${key.slice(0, 4)}…) is masked in the error`, async (t) => {
    const simulator = await provider(t)
    const client = new HolySheepStreamingClient(key, { baseUrl: simulator.url, ...QUICK, maxRetries: 1 })
    t.after(() => client.close())
    const echo = `The key ${key} is unknown`
    const bodies = [
      { error: { message: echo, type: `type ${key}`, code: key, param: key } },
      { error: echo },
      echo,
      `${'x'.repeat(2048 - 12)} ${key}`,
    ]
    for (const body of bodies) {
      for (const status of [401, 500]) {
        simulator.setDefault({ status, body })
        const events = []
        const watched = new HolySheepStreamingClient(key, {
          baseUrl: simulator.url,
          ...QUICK,
          maxRetries: 1,
          onEvent: (event) => events.push(event),
        })
        for (const error of [await failure(watched.chat(REQUEST)), (await client.streamWithRetry(MESSAGES)).error]) {
          assert.ok(!printed(error).includes(key), printed(error))
          assert.ok(!printed(error).includes(key.slice(0, 10)), printed(error))
        }
        assert.ok(events.length > 0)
        assert.ok(!JSON.stringify(events).includes(key))
        await watched.close()
      }
    }
    const error = { message: echo, code: 'x' }
    simulator.setDefault({ disconnect: { afterChunks: 0, how: 'errorEvent', error } })
    assert.ok(!printed(await failure(client.chat(REQUEST))).includes(key))
    simulator.setDefault({ html: true, body: `<html>${key}</html>` })
    assert.ok(!printed(await failure(client.chat(REQUEST))).includes(key))
  })
}

test('the key goes only to its own endpoint, and no redirect is followed', async (t) => {
  const other = await provider(t)
  const { simulator, client } = await pair(t)
  simulator.setDefault({ status: 307, headers: { location: `${other.url}/chat/completions` } })
  assert.equal((await failure(client.chat(REQUEST))).code, 'REDIRECTED')
  assert.equal(other.requests.length, 0)
})

test('each endpoint gets its own key and headers, and one without a key gets none', async (t) => {
  const [a, b, c] = [await provider(t), await provider(t), await provider(t)]
  a.setDefault({ status: 500 })
  b.setDefault({ status: 500 })
  const client = new HolySheepStreamingClient('sk-of-a', {
    endpoints: [
      a.url,
      { baseUrl: b.url, apiKey: 'sk-of-b', headers: { 'x-tenant': 'b' } },
      { baseUrl: c.url, headers: { 'x-tenant': 'c' } },
    ],
    headers: { 'x-all': 'yes' },
    ...QUICK,
  })
  t.after(() => client.close())
  await client.chat(REQUEST)
  const headers = [a, b, c].map(({ requests }) => requests[0].headers)
  assert.deepEqual(
    headers.map((has) => [has.authorization, has['x-tenant'], has['x-all']]),
    [
      ['Bearer sk-of-a', undefined, 'yes'],
      ['Bearer sk-of-b', 'b', 'yes'],
      [undefined, 'c', 'yes'],
    ],
  )
})

test('the body in an error is truncated to 2 KiB', async (t) => {
  const { simulator, client } = await pair(t)
  simulator.script({ status: 400, body: 'ấ'.repeat(5000) })
  const { body } = await failure(client.chat(REQUEST))
  assert.ok(Buffer.byteLength(body) <= 2048)
  assert.ok(!body.includes('\ufffd'))
})

test('a very short key is not masked, so it garbles no error', async (t) => {
  const client = new HolySheepStreamingClient('o', { baseUrl: 'http://127.0.0.1:1/v1', maxRetries: 0 })
  t.after(() => client.close())
  assert.match((await failure(client.chat(REQUEST))).message, /connection refused by 127\.0\.0\.1:1/)
})
