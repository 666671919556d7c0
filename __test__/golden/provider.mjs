// A provider on plain `node:http` that answers as scripted and records its requests.
import { createServer } from 'node:http'

/** The default answer. */
export const PIECES = ['Xin ', 'chào ', 'thế giới']
export const ANSWER = PIECES.join('')

/**
 * Replies: `{ text: [deltas] }` streams an answer, `{ cut: [deltas] }` resets the connection after these deltas,
 * `{ status, headers, error }` is an error response, `{ reset: true }` resets before any byte, `{ hang: true }` never
 * answers, `{ stall: text }` sends this much of a body and then stalls.
 */
export async function startProvider(t, { replies = [], reply: rest = { text: PIECES } } = {}) {
  const requests = []
  const queue = [...replies]
  // A client repeats a request at once if its reused connection was reset. It is the same request.
  const reset = new Set()
  const server = createServer((request, response) => {
    const chunks = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const { method, url: path, headers } = request
      const id = headers['x-client-request-id']
      if (reset.delete(id)) return request.socket.resetAndDestroy()
      const text = Buffer.concat(chunks).toString()
      requests.push({ method, path, headers, body: text ? JSON.parse(text) : undefined })
      const reply = queue.shift() ?? rest
      if (reply.reset) reset.add(id)
      play(reply, request, response)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${server.address().port}/v1`, requests }
}

function play(reply, request, response) {
  if (reply.hang) return
  if (reply.stall) return response.write(reply.stall)
  if (reply.reset) return request.socket.resetAndDestroy()
  if (reply.status) {
    const error = { message: `this is a ${reply.status}`, ...reply.error }
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
    return response.end(JSON.stringify({ error }))
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const send = (delta, finish_reason = null) => {
    const choices = [{ index: 0, delta, finish_reason }]
    const about = { id: 'chatcmpl-golden', object: 'chat.completion.chunk', created: 1, model: 'golden' }
    response.write(`data: ${JSON.stringify({ ...about, choices })}\n\n`)
  }
  for (const content of reply.cut ?? reply.text) send({ content })
  // The deltas must arrive before the reset.
  if (reply.cut) return setTimeout(() => request.socket.resetAndDestroy(), 50)
  send({}, 'stop')
  response.end('data: [DONE]\n\n')
}

/** A proxy that refuses every tunnel; `hosts` lists the requested hosts, in order. */
export async function startProxy(t) {
  const hosts = []
  const server = createServer()
  server.on('connect', (request, socket) => {
    hosts.push(request.url)
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return { url: `http://127.0.0.1:${server.address().port}`, hosts }
}
