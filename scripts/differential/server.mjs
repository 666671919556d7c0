/** A server that sends the bytes of a case, cut where the case says, to a request whose model is its number. */
import net from 'node:net'

export async function serve() {
  const cases = new Map()
  const sockets = new Set()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let received = Buffer.alloc(0)
    socket.on('data', (data) => {
      received = Buffer.concat([received, data])
      const head = received.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = Number(/content-length: *(\d+)/i.exec(received.subarray(0, head))?.[1] ?? 0)
      if (received.length < head + 4 + length) return
      const body = JSON.parse(received.subarray(head + 4, head + 4 + length))
      received = received.subarray(head + 4 + length)
      const it = cases.get(body.model)
      it.requests++
      answer(socket, it)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { url: `http://127.0.0.1:${server.address().port}/v1`, cases, close }
}

async function answer(socket, { bytes, cuts, framing }) {
  const type = framing.contentType ?? 'text/event-stream'
  const head = `HTTP/1.1 200 OK\r\n${type && `content-type: ${type}\r\n`}transfer-encoding: chunked\r\n\r\n`
  socket.write(head)
  const ends = [...cuts, bytes.length]
  let from = 0
  for (const to of ends) {
    if (to > from) {
      const part = bytes.subarray(from, to)
      socket.write(Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]))
      await new Promise(setImmediate)
    }
    from = Math.max(from, to)
  }
  if (framing.reset) socket.destroy()
  else socket.write('0\r\n\r\n')
}
