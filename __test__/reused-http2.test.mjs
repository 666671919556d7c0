// HTTP/2 servers that shut a connection down, or refuse a stream, just when the next request arrives on it.
import assert from 'node:assert/strict'
import { constants, createSecureServer } from 'node:http2'
import { test } from 'node:test'
import { clientOf, END, eventOf, failure, QUICK, REQUEST } from './support/provider.mjs'
import { cert, key } from './support/tls.mjs'

/** A server that answers every request but the second one; `end` ends that. */
async function start(t, end) {
  const requests = []
  const sockets = []
  const sessions = []
  const server = createSecureServer({ key, cert })
  server.on('secureConnection', (socket) => sockets.push(socket.on('error', () => {})))
  server.on('session', (session) => sessions.push(session.on('error', () => {})))
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    let body = ''
    stream.setEncoding('utf8').on('data', (data) => {
      body += data
    })
    stream.on('end', () => {
      requests.push({ body, key: headers['idempotency-key'], session: stream.session })
      if (requests.length === 2) return end({ stream, session: stream.session, socket: sockets.at(-1) })
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
      stream.end(eventOf('ok') + END)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `https://localhost:${server.address().port}/v1`, requests, sessions }
}

/** Makes two calls on one connection. No retry is allowed, and one failure would open the breaker. */
async function twoCalls(t, end) {
  const server = await start(t, end)
  const events = []
  const client = clientOf(t, server, {
    ...QUICK,
    ca: cert,
    maxRetries: 0,
    circuitBreaker: { failureThreshold: 1 },
    onEvent: (event) => events.push(event),
  })
  assert.equal(await client.stream(REQUEST).text(), 'ok')
  return { ...server, events, stream: client.stream(REQUEST) }
}

for (const [name, end, connections] of [
  [
    'GOAWAY without an error, before the stream was processed',
    ({ session }) => session.goaway(constants.NGHTTP2_NO_ERROR, 1),
    2,
  ],
  ['a connection that is lost', ({ socket }) => socket.destroy(), 2],
  // The connection is still good.
  ['REFUSED_STREAM', ({ stream }) => stream.close(constants.NGHTTP2_REFUSED_STREAM), 1],
  [
    'REFUSED_STREAM by a server that shuts down',
    ({ stream, session }) => {
      session.goaway(constants.NGHTTP2_NO_ERROR)
      stream.close(constants.NGHTTP2_REFUSED_STREAM)
    },
    2,
  ],
]) {
  test(`a request on a reused connection is repeated at once: ${name}`, async (t) => {
    const { stream, requests, sessions, events } = await twoCalls(t, end)
    assert.equal(await stream.text(), 'ok')
    assert.equal((await stream.result).attempts.length, 1)
    assert.deepEqual([requests.length, sessions.length], [3, connections])
    assert.equal(requests[1].session, requests[0].session, 'the connection was reused')
    assert.deepEqual([requests[2].key, requests[2].body], [requests[1].key, requests[1].body])
    assert.deepEqual(
      events.filter(({ type }) => /fail|retry|circuit/.test(type)),
      [],
    )
  })
}

for (const [name, end] of [
  ['a stream that is reset', ({ stream }) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
  ['a stream that is canceled', ({ stream }) => stream.close(constants.NGHTTP2_CANCEL)],
  ['GOAWAY with an error', ({ session }) => session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 1)],
]) {
  test(`${name} is an attempt that failed`, async (t) => {
    const { stream, requests } = await twoCalls(t, end)
    const error = await failure(stream.text())
    assert.deepEqual([error.code, error.attempts.length, requests.length], ['ECONNRESET', 1, 2])
  })
}
