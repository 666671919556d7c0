// https to a server without TLS: a host without a scheme means https, but the server may speak plain HTTP.
import assert from 'node:assert/strict'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { HolySheepStreamingClient } from '../index.mjs'
import { failure, KEY, provider, REQUEST } from './support/provider.mjs'
import { httpProxy } from './support/proxy.mjs'

/** Starts a raw server, which is closed at the end of the test, and resolves to its port. */
async function listen(t, server) {
  const open = new Set()
  server.on('connection', (socket) => {
    open.add(socket.on('error', () => {}))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return server.address().port
}

/** The error of a call to a host without a scheme. */
async function callError(t, port, options = {}) {
  const client = new HolySheepStreamingClient(KEY, { baseUrl: `127.0.0.1:${port}`, maxRetries: 0, ...options })
  t.after(() => client.close())
  return failure(client.chat(REQUEST))
}

const hint = (port) => `; does the server speak plain HTTP? If so, use http://127.0.0.1:${port}/v1`

test('a server that never answers the TLS handshake is distinguished from an unreachable host', async (t) => {
  const port = await listen(
    t,
    createServer(() => {}),
  )
  const { code, phase, message } = await callError(t, port, { connectTimeoutMs: 600 })
  assert.deepEqual([code, phase], ['TIMEOUT', 'connect'])
  const words = `no connection within 600 ms (127.0.0.1:${port}): TCP connects, but the TLS handshake did not complete`
  assert.equal(message, words + hint(port))
})

test('a server that answers in HTTP is reported as not speaking TLS', async (t) => {
  const raw = createServer((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
  for (const server of [raw, createHttpServer()]) {
    const port = await listen(t, server)
    const { code, message } = await callError(t, port)
    assert.equal(code, 'ERR_TLS', message)
    assert.ok(message.startsWith(`127.0.0.1:${port} answered the TLS handshake with data that is not TLS (`), message)
    assert.ok(message.endsWith(hint(port)), message)
  }
})

test('a server that closes or resets the connection during the handshake is reported as such', async (t) => {
  for (const how of ['end', 'resetAndDestroy']) {
    const server = createServer((socket) => socket.once('data', () => socket[how]()))
    const port = await listen(t, server)
    const { code, message } = await callError(t, port)
    assert.equal(code, 'ECONNRESET', message)
    assert.ok(message.startsWith(`127.0.0.1:${port} closed the connection during the TLS handshake`), message)
    assert.ok(message.endsWith(hint(port)), message)
  }
})

test('http URLs, refused connections, wrong certificates and proxies get no plain HTTP hint', async (t) => {
  const silent = await listen(
    t,
    createServer(() => {}),
  )
  const closing = await listen(
    t,
    createServer((socket) => socket.once('data', () => socket.end())),
  )
  const tls = await provider(t, { tls: true })
  const proxy = await httpProxy(t)
  for (const [options, code] of [
    [{ baseUrl: `http://127.0.0.1:${closing}/v1` }, 'ECONNRESET'],
    [{ baseUrl: `http://127.0.0.1:${silent}/v1`, firstTokenTimeoutMs: 1000 }, 'TIMEOUT'],
    [{ baseUrl: 'https://127.0.0.1:1/v1' }, 'ECONNREFUSED'],
    [{ baseUrl: tls.url }, 'ERR_TLS'],
    [{ proxy: `http://127.0.0.1:${proxy.port}`, connectTimeoutMs: 300 }, 'TIMEOUT'],
  ]) {
    const error = await callError(t, silent, options)
    assert.equal(error.code, code, error.message)
    assert.ok(!error.message.includes('plain HTTP'), error.message)
  }
})

test('the simulator immediately closes a plain connection that starts with a TLS handshake', async (t) => {
  const simulator = await provider(t)
  const { message } = await callError(t, simulator.port)
  assert.ok(message.endsWith(hint(simulator.port)), message)
  const socket = connect(simulator.port, '127.0.0.1')
  socket.write(Buffer.from([0x16, 3, 1, 2, 0]))
  const [hadError] = await Promise.all([
    new Promise((resolve) => socket.once('close', resolve)),
    new Promise((resolve) => socket.once('end', resolve)),
    socket.resume(),
  ])
  assert.deepEqual([hadError, simulator.requests.length], [false, 0])
})
