// Responses that a relay compresses although nothing but `identity` was accepted.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import * as zlib from 'node:zlib'
import { failure, clientOf as of, REQUEST } from './support/provider.mjs'

const chunk = (delta, finish = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
const EVENTS = [chunk({ role: 'assistant', content: 'Xin' }), chunk({ content: ' chào' }), chunk({}, 'stop')]

/** Encoders that can be flushed, by the name of their coding. */
const ENCODERS = {
  gzip: () => zlib.createGzip(),
  deflate: () => zlib.createDeflate(),
  br: () => zlib.createBrotliCompress(),
  ...(zlib.createZstdCompress && { zstd: () => zlib.createZstdCompress() }),
}

/** A server on loopback, and a client of it. */
async function pair(t, handler, options = {}) {
  const requests = []
  const server = createServer((request, response) => {
    requests.push(request)
    request.resume().on('end', () => handler(response, requests.length))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${server.address().port}/v1`
  return { client: of(t, { url }, { maxRetries: 0, ...options }), requests }
}

for (const [coding, encoder] of Object.entries(ENCODERS)) {
  describe(coding, () => {
    test('a delta is delivered when it is flushed, not when the body ends', async (t) => {
      let next
      const { client, requests } = await pair(t, (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': coding })
        const stream = encoder()
        stream.pipe(response, { end: true })
        const events = [...EVENTS]
        // Each event is sent only when the one before it has been delivered.
        next = () => {
          const event = events.shift()
          if (event === undefined) return stream.end('data: [DONE]\n\n')
          stream.write(event)
          stream.flush()
        }
        next()
      })
      let text = ''
      for await (const { choices } of client.stream(REQUEST)) {
        text += choices[0]?.delta.content ?? ''
        next()
      }
      assert.equal(text, 'Xin chào')
      assert.equal(requests[0].headers['accept-encoding'], 'identity')
    })

    test('error bodies, lists of models and answers that are not streamed are decoded', async (t) => {
      const encode = (value) => {
        const stream = encoder()
        stream.end(JSON.stringify(value))
        return stream
      }
      const headers = { 'content-type': 'application/json', 'content-encoding': coding }
      const { client } = await pair(t, (response, number) => {
        if (number === 1) {
          encode({ error: { message: 'no such thing', code: 'thing' } }).pipe(response.writeHead(400, headers))
        } else encode({ data: [{ id: 'one' }] }).pipe(response.writeHead(200, headers))
      })
      const error = await failure(client.chat(REQUEST))
      assert.equal(error.status, 400)
      assert.match(error.message, /no such thing/)
      assert.deepEqual(await client.models(), [{ id: 'one' }])
    })

    test('an interrupted body is a truncation', async (t) => {
      const { client } = await pair(t, (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': coding })
        const stream = encoder()
        stream.on('data', (data) => response.write(data))
        stream.write(EVENTS[0])
        // Ends the body, not the data.
        stream.flush(() => response.end())
      })
      const error = await failure(client.chat(REQUEST))
      assert.deepEqual([error.code, error.cause?.code ?? error.code], ['STREAM_INTERRUPTED', 'STREAM_TRUNCATED'])
    })
  })
}

test('an accept-encoding of the caller is sent instead', async (t) => {
  const { client, requests } = await pair(
    t,
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
      response.end(zlib.gzipSync(`${EVENTS.join('')}data: [DONE]\n\n`))
    },
    { headers: { 'Accept-Encoding': 'gzip' } },
  )
  assert.equal((await client.chat(REQUEST)).choices[0].message.content, 'Xin chào')
  assert.equal(requests[0].headers['accept-encoding'], 'gzip')
})

test('corrupt data and unknown codings are errors that say so', async (t) => {
  let coding = 'br'
  const { client } = await pair(t, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': coding })
    response.end(Buffer.alloc(100, 0xff))
  })
  const corrupt = await failure(client.chat(REQUEST))
  assert.equal(corrupt.code, 'MALFORMED_RESPONSE')
  assert.match(corrupt.message, /not valid br/)
  coding = 'compress'
  const unknown = await failure(client.chat(REQUEST))
  assert.equal(unknown.code, 'MALFORMED_RESPONSE')
  assert.match(unknown.message, /'compress'/)
})

for (const [coding, encoder] of Object.entries(ENCODERS)) {
  test(`the limits apply to the decoded size: ${coding}`, async (t) => {
    const block = Buffer.alloc(1 << 20, 'a')
    let isClosed
    const { client } = await pair(
      t,
      (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': coding })
        isClosed = new Promise((resolve) => response.on('close', resolve))
        const stream = encoder()
        stream.on('error', () => {}).pipe(response)
        // An event without an end: its first few kilobytes decode to more than the limit.
        stream.write('data: ')
        const more = () => !response.destroyed && stream.write(block, more)
        more()
      },
      { maxEventBytes: 1 << 20, idleTimeoutMs: 60_000 },
    )
    assert.equal((await failure(client.chat(REQUEST))).code, 'RESPONSE_TOO_LARGE')
    await isClosed
  })
}

test('an error body without an end is read up to the limit', async (t) => {
  const block = Buffer.alloc(1 << 20, 'a')
  let isClosed
  const { client } = await pair(t, (response) => {
    response.writeHead(400, { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
    isClosed = new Promise((resolve) => response.on('close', resolve))
    const stream = zlib.createGzip()
    stream.on('error', () => {}).pipe(response)
    const more = () => !response.destroyed && stream.write(block, more)
    more()
  })
  const error = await failure(client.chat(REQUEST))
  assert.equal(error.status, 400)
  assert.ok(error.body.length <= 2048, `${error.body.length}`)
  await isClosed
})
