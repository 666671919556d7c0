// An HTTP server that sends streams to its clients.
import { once } from 'node:events'
import http from 'node:http'
import { contentOf } from './provider.mjs'

/** An HTTP server whose handler pipes a stream; resolves to its URL and the outcomes of the pipes. */
export async function serve(t, handler, server = http.createServer()) {
  const outcomes = []
  server.on('request', async (req, res) => {
    // A request is read before it is answered.
    for await (const _ of req);
    outcomes.push(await handler(res, req).catch((error) => error))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections?.()
    return server.close()
  })
  return { url: `http://127.0.0.1:${server.address().port}`, outcomes }
}

/** The events of a body: `{ event, data }`, comments as `{ comment }`. */
export const eventsOf = (body) =>
  body
    .split('\n\n')
    .filter((block) => block !== '')
    .map((block) =>
      Object.fromEntries(
        block.split('\n').map((line) => {
          const [, name, value] = line.match(/^(\w*): ?(.*)$/)
          return [name || 'comment', value]
        }),
      ),
    )

export const textOf = (events) =>
  events
    .filter(({ data, event }) => data && data !== '[DONE]' && !event)
    .map(({ data }) => contentOf(JSON.parse(data)))
    .join('')
