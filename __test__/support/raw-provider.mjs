// A provider that sends exactly these bytes, including those that Node's HTTP server refuses to send.
import { createServer } from 'node:net'

/** The event of a chunk. */
export const event = (data) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`

/** A chunk with one choice, and further fields of the choice. */
export const chunkOf = (delta, finish_reason = null, choice = {}) => ({
  id: 'c',
  object: 'chat.completion.chunk',
  created: 1_700_000_000,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason, ...choice }],
})

/** The body of a stream of these chunks. */
export const streamOf = (...chunks) => `${chunks.map(event).join('')}data: [DONE]\n\n`

/** A response: status, headers and body. */
export const responseOf = (status, headers, body = '') => {
  const bytes = Buffer.from(body)
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`))
  const head = `HTTP/1.1 ${status} X\r\n${lines.join('')}content-length: ${bytes.length}\r\nconnection: close\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes])
}

export const sse = (body, headers = {}) => responseOf(200, { 'content-type': 'text/event-stream', ...headers }, body)
export const json = (status, value, headers = {}) =>
  responseOf(status, { 'content-type': 'application/json', ...headers }, JSON.stringify(value))

/** A server that answers every request with `response`, or with what a function of the body and the count returns. */
export async function rawProvider(t, response) {
  const requests = []
  const sockets = new Set()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let received = Buffer.alloc(0)
    socket.on('data', (data) => {
      received = Buffer.concat([received, data])
      const end = received.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = Number(/content-length: *(\d+)/i.exec(received.toString('latin1', 0, end))?.[1] ?? 0)
      if (received.length < end + 4 + length) return
      const body = received.toString('utf8', end + 4)
      received = Buffer.alloc(0)
      requests.push(body)
      socket.end(typeof response === 'function' ? response(body, requests.length) : response)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${server.address().port}/v1`, requests }
}
