// HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, and the `proxy` option, over real proxies.
import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { HolySheepStreamingClient } from '../index.mjs'
import { ANSWER, clientOf, failure, KEY, provider, QUICK, REQUEST } from './support/provider.mjs'
import { httpProxy, socksProxy } from './support/proxy.mjs'

const NAMES = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY', 'REQUEST_METHOD']
const ALL = NAMES.flatMap((name) => [name, name.toLowerCase()])

/** Removes the variables of this machine and of the previous test. */
function clearEnv() {
  for (const name of ALL) delete process.env[name]
}
beforeEach(clearEnv)

/** A client of `url`, created with these environment variables. */
function clientIn(t, env, url, options = {}) {
  Object.assign(process.env, env)
  const client = new HolySheepStreamingClient(KEY, { baseUrl: url, ...QUICK, maxRetries: 0, ...options })
  t.after(() => client.close())
  clearEnv()
  return client
}

const answerOf = async (client) => (await client.chat(REQUEST)).choices[0].message.content
const targetOf = ({ port }) => ({ host: '127.0.0.1', port })

test('HTTPS_PROXY tunnels TLS, and the proxy sees only the host', async (t) => {
  const simulator = await provider(t, { tls: true })
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']) {
    const proxy = await httpProxy(t)
    const client = clientIn(t, { [name]: proxy.url }, simulator.url, { ca: simulator.certificate })
    assert.equal(await answerOf(client), ANSWER, name)
    assert.deepEqual(proxy.seen, [`CONNECT 127.0.0.1:${simulator.port}`], name)
  }
})

test('HTTP_PROXY serves plain URLs, including hosts that only it can resolve', async (t) => {
  const simulator = await provider(t)
  const proxy = await httpProxy(t, { target: targetOf(simulator) })
  const client = clientIn(t, { HTTP_PROXY: proxy.url.replace('http://', '') }, 'http://api.invalid/v1')
  assert.equal(await answerOf(client), ANSWER)
  assert.deepEqual(proxy.seen, ['POST http://api.invalid/v1/chat/completions'])
})

test('each scheme has its own proxy, and lowercase variables take precedence', async (t) => {
  const simulator = await provider(t)
  const [used, other] = [await httpProxy(t), await httpProxy(t)]
  const env = { http_proxy: used.url, HTTP_PROXY: other.url, HTTPS_PROXY: other.url, ALL_PROXY: other.url }
  assert.equal(await answerOf(clientIn(t, env, simulator.url)), ANSWER)
  const none = clientIn(t, { HTTPS_PROXY: other.url }, simulator.url)
  assert.equal(await answerOf(none), ANSWER)
  assert.deepEqual([used.seen.length, other.seen.length], [1, 0])
})

test('HTTP_PROXY is ignored in CGI, where a request header can set it', async (t) => {
  const simulator = await provider(t)
  const proxy = await httpProxy(t)
  const client = clientIn(t, { HTTP_PROXY: proxy.url, REQUEST_METHOD: 'GET' }, simulator.url)
  assert.equal(await answerOf(client), ANSWER)
  assert.deepEqual(proxy.seen, [])
})

describe('NO_PROXY', () => {
  for (const [no, direct] of [
    ['127.0.0.1', true],
    ['example.com, 127.0.0.1', true],
    ['127.0.0.0/8', true],
    ['127.0.0.1-127.0.0.9', true],
    ['127.0.0.1:{port}', true],
    ['*', true],
    ['127.0.0.1:1', false],
    ['10.0.0.0/8', false],
    ['localhost,.example.com', false],
  ]) {
    test(`'${no}' ${direct ? 'covers' : 'does not cover'} 127.0.0.1`, async (t) => {
      const simulator = await provider(t)
      const proxy = await httpProxy(t)
      const env = { HTTP_PROXY: proxy.url, NO_PROXY: no.replace('{port}', simulator.port) }
      assert.equal(await answerOf(clientIn(t, env, simulator.url)), ANSWER)
      assert.equal(proxy.seen.length, direct ? 0 : 1)
    })
  }
})

test('the proxy option overrides the environment, and false disables proxies', async (t) => {
  const simulator = await provider(t)
  const [explicit, env] = [await httpProxy(t), await httpProxy(t)]
  const variables = { HTTP_PROXY: env.url, NO_PROXY: '*' }
  for (const proxy of [explicit.url, new URL(explicit.url)]) {
    assert.equal(await answerOf(clientIn(t, variables, simulator.url, { proxy })), ANSWER)
  }
  assert.equal(await answerOf(clientIn(t, { HTTP_PROXY: env.url }, simulator.url, { proxy: false })), ANSWER)
  assert.deepEqual([explicit.seen.length, env.seen.length], [2, 0])
})

test('user and password are sent only to the proxy', async (t) => {
  const simulator = await provider(t, { tls: true })
  const proxy = await httpProxy(t, { password: 'user:p@ss' })
  const url = proxy.url.replace('//', '//user:p%40ss@')
  const client = clientOf(t, simulator, { ca: simulator.certificate, proxy: url })
  assert.equal(await answerOf(client), ANSWER)
  assert.equal(simulator.requests[0].headers['proxy-authorization'], undefined)
  assert.ok(!inspect(client, { depth: 9, showHidden: true }).includes('p%40ss'))
})

test('a proxy that rejects the tunnel or is unreachable is named, without its password', async (t) => {
  const simulator = await provider(t, { tls: true })
  const authenticating = await httpProxy(t, { password: 'user:right' })
  const rejecting = await httpProxy(t, { rejectWith: 503 })
  for (const [{ port }, words] of [
    [{ port: 1 }, /connection refused by the proxy http:\/\/…@127\.0\.0\.1:1 \(connecting to 127\.0\.0\.1:\d+\)/],
    [authenticating, /the proxy could not connect to 127\.0\.0\.1:\d+ \(proxy authorization required\)/],
    [rejecting, /the proxy could not connect to 127\.0\.0\.1:\d+ \(unsuccessful\)/],
  ]) {
    const proxy = `http://user:wrong-secret@127.0.0.1:${port}`
    const client = clientOf(t, simulator, { proxy, ca: simulator.certificate, maxRetries: 0 })
    const error = await failure(client.chat(REQUEST))
    assert.equal(error.name, 'ConnectionError')
    assert.match(error.message, words)
    assert.ok(!inspect(error, { depth: 9 }).includes('wrong-secret'))
  }
})

test('a SOCKS5 proxy resolves the host name', async (t) => {
  const simulator = await provider(t)
  const proxy = await socksProxy(t, { target: targetOf(simulator) })
  const client = clientIn(t, { ALL_PROXY: `socks5h://${proxy.host}` }, 'http://api.invalid/v1')
  assert.equal(await answerOf(client), ANSWER)
  assert.deepEqual(proxy.seen, ['api.invalid'])
})

test('a variable with an invalid URL is rejected by name when a client is created', () => {
  process.env.HTTPS_PROXY = 'ftp://user:secret@proxy'
  const make = () => new HolySheepStreamingClient(KEY)
  assert.throws(make, (error) => {
    assert.match(error.message, /^HTTPS_PROXY: got '…@proxy'; accepted: the URL of a proxy/)
    return error.code === 'INVALID_ARGUMENT'
  })
  clearEnv()
  make()
})
