// Proxies as companies have them: one for HTTP (CONNECT, and requests by their whole URL), one for SOCKS5.
import { createServer, request } from 'node:http'
import { connect, createServer as createSocketServer } from 'node:net'

const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))

/**
 * An HTTP proxy: `{ url, seen }`. `target` is where everything goes, whatever its name; without it to where it says.
 * With `password` others get a 407; with `refuse` everybody gets that status.
 */
export async function httpProxy(t, { target, password, refuse } = {}) {
  const seen = []
  const server = createServer()
  const admitted = ({ headers }) =>
    !password || headers['proxy-authorization'] === `Basic ${Buffer.from(password).toString('base64')}`
  server.on('connect', (asked, socket) => {
    seen.push(`CONNECT ${asked.url}`)
    const status = refuse ?? (admitted(asked) ? 200 : 407)
    if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
    const [, host, port] = asked.url.match(/^\[?(.*?)\]?:(\d+)$/)
    const upstream = connect(target ?? { host, port: Number(port) }, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      socket.pipe(upstream).pipe(socket)
    })
    for (const end of [socket, upstream])
      end
        .on('error', () => {})
        .on('close', () => {
          socket.destroy()
          upstream.destroy()
        })
  })
  server.on('request', (asked, answer) => {
    seen.push(`${asked.method} ${asked.url}`)
    if (!admitted(asked)) return answer.writeHead(407).end()
    const { hostname, port, pathname } = new URL(asked.url)
    const where = target ?? { host: hostname, port: Number(port) }
    const { 'proxy-authorization': _, ...headers } = asked.headers
    const upstream = request({ ...where, method: asked.method, path: pathname, headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers)
      got.pipe(answer)
    })
    upstream.on('error', () => answer.destroy())
    asked.pipe(upstream)
  })
  const port = await listen(server)
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${port}`, port, seen }
}

/** A SOCKS5 proxy (RFC 1928, no authentication) that is asked for names. */
export async function socksProxy(t, { target }) {
  const seen = []
  const server = createSocketServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(Buffer.from([5, 0]))
      socket.once('data', (asked) => {
        const name = asked[3] === 3 ? asked.subarray(5, 5 + asked[4]).toString() : `address of type ${asked[3]}`
        seen.push(name)
        const upstream = connect(target, () => {
          socket.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]))
          socket.pipe(upstream).pipe(socket)
        })
        for (const end of [socket, upstream])
          end
            .on('error', () => {})
            .on('close', () => {
              socket.destroy()
              upstream.destroy()
            })
      })
    })
  })
  const port = await listen(server)
  t.after(() => server.close())
  return { host: `127.0.0.1:${port}`, seen }
}
