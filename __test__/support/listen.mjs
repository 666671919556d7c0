// Starts a server on loopback, and closes it at the end of the test.
import { once } from 'node:events'

/** Resolves to the server's origin. */
export async function listen(t, server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections?.()
    server.close()
  })
  return `http://127.0.0.1:${server.address().port}`
}
