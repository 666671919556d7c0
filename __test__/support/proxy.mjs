// Proxies like those of corporate networks: one for HTTP (CONNECT, and absolute-form requests), one for SOCKS5.
import { createServer, request } from 'node:http'
import { connect, createServer as createSocketServer } from 'node:net'

const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))

/** Destroys each socket when the other one closes. */
function closeTogether(a, b) {
  a.on('error', () => {}).on('close', () => b.destroy())
  b.on('error', () => {}).on('close', () => a.destroy())
}

/**
 * An HTTP proxy: `{ url, port, seen }`, where `seen` lists the requests. With `target` every request goes there, whatever
 * host it names. With `password` a request without it gets a 407. With `rejectWith` every CONNECT gets that status.
 */
export async function httpProxy(t, { target, password, rejectWith } = {}) {
  const seen = []
  const server = createServer()
  const authorized = ({ headers }) =>
    !password || headers['proxy-authorization'] === `Basic ${Buffer.from(password).toString('base64')}`
  server.on('connect', (req, socket) => {
    seen.push(`CONNECT ${req.url}`)
    const status = rejectWith ?? (authorized(req) ? 200 : 407)
    if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
    const [, host, port] = req.url.match(/^\[?(.*?)\]?:(\d+)$/)
    const upstream = connect(target ?? { host, port: Number(port) }, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      socket.pipe(upstream).pipe(socket)
    })
    closeTogether(socket, upstream)
  })
  server.on('request', (req, res) => {
    seen.push(`${req.method} ${req.url}`)
    if (!authorized(req)) return res.writeHead(407).end()
    const { hostname, port, pathname } = new URL(req.url)
    const address = target ?? { host: hostname, port: Number(port) }
    const { 'proxy-authorization': _, ...headers } = req.headers
    const upstream = request({ ...address, method: req.method, path: pathname, headers }, (response) => {
      res.writeHead(response.statusCode, response.headers)
      response.pipe(res)
    })
    upstream.on('error', () => res.destroy())
    req.pipe(upstream)
  })
  const port = await listen(server)
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${port}`, port, seen }
}

/** A SOCKS5 proxy (RFC 1928, no authentication) that lists the requested host names. */
export async function socksProxy(t, { target }) {
  const seen = []
  const server = createSocketServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(Buffer.from([5, 0]))
      socket.once('data', (message) => {
        const name = message[3] === 3 ? message.subarray(5, 5 + message[4]).toString() : `address of type ${message[3]}`
        seen.push(name)
        const upstream = connect(target, () => {
          socket.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 0]))
          socket.pipe(upstream).pipe(socket)
        })
        closeTogether(socket, upstream)
      })
    })
  })
  const port = await listen(server)
  t.after(() => server.close())
  return { host: `127.0.0.1:${port}`, seen }
}
