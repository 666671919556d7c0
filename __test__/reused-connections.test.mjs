// Servers that close a kept connection just when the next request arrives on it.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { clientOf, QUICK, REQUEST } from './support/provider.mjs'

const BODY =
  'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

for (const how of ['end', 'resetAndDestroy']) {
  test(`a reused connection that is lost before an answer costs no retry (${how})`, async (t) => {
    const requests = []
    const sockets = []
    const server = createServer((socket) => {
      sockets.push(socket)
      let count = 0
      let received = ''
      socket.setEncoding('latin1').on('error', () => {})
      socket.on('data', (data) => {
        received += data
        const head = received.indexOf('\r\n\r\n')
        const length = Number(/content-length: (\d+)/i.exec(received)?.[1])
        if (head < 0 || received.length < head + 4 + length) return
        requests.push(received)
        received = ''
        if (++count === 2) return socket[how]()
        const headers = `content-type: text/event-stream\r\ncontent-length: ${BODY.length}\r\n\r\n`
        socket.write(`HTTP/1.1 200 OK\r\n${headers}${BODY}`)
      })
    })
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const events = []
    // No retry is allowed, and one failure would open the breaker.
    const options = {
      ...QUICK,
      maxRetries: 0,
      circuitBreaker: { failureThreshold: 1 },
      onEvent: (event) => events.push(event),
    }
    const client = clientOf(t, { url: `http://127.0.0.1:${server.address().port}/v1` }, options)
    let crossed
    for (let call = 1; crossed === undefined && call <= 50; call++) {
      const stream = client.stream(REQUEST)
      assert.equal(await stream.text(), 'ok')
      const { attempts } = await stream.result
      assert.equal(attempts.length, 1)
      if (requests.length > call) crossed = requests.slice(-2)
    }
    assert.ok(crossed, 'no connection was reused')
    const key = (request) => /idempotency-key: (.*)\r/i.exec(request)[1]
    assert.equal(key(crossed[0]), key(crossed[1]))
    assert.equal(crossed[0].split('\r\n\r\n')[1], crossed[1].split('\r\n\r\n')[1])
    assert.deepEqual(
      events.filter(({ type }) => /fail|retry|breaker/.test(type)),
      [],
    )
  })
}
