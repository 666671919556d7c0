// stream.pipe(ctx.res) in Koa, which begins every response with 404.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { test } from 'node:test'
import Koa from 'koa'
import { eventsOf, textOf } from './support/http-server.mjs'
import { ANSWER, pair, REQUEST } from './support/provider.mjs'

/** The URL of a Koa app with one middleware. */
async function listen(t, middleware) {
  const app = new Koa()
  app.silent = true
  app.use(middleware)
  const server = http.createServer(app.callback()).listen(0)
  t.after(() => server.close())
  await once(server, 'listening')
  return `http://127.0.0.1:${server.address().port}`
}

test("Koa's preset 404 becomes 200", async (t) => {
  const { client } = await pair(t)
  const url = await listen(t, (ctx) => client.stream(REQUEST).pipe(ctx.res))
  const response = await fetch(url)
  assert.deepEqual([response.status, response.statusText], [200, 'OK'])
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(textOf(eventsOf(await response.text())), ANSWER)
})

test("without Koa's own response", async (t) => {
  const { client } = await pair(t)
  const url = await listen(t, (ctx) => {
    ctx.respond = false
    client.stream(REQUEST).pipe(ctx.res)
  })
  const response = await fetch(url)
  assert.equal(response.status, 200)
  assert.equal(textOf(eventsOf(await response.text())), ANSWER)
})

for (const status of [200, 404, 418]) {
  test(`ctx.status = ${status} stays`, async (t) => {
    const { client } = await pair(t)
    const url = await listen(t, (ctx) => {
      ctx.status = status
      return client.stream(REQUEST).pipe(ctx.res)
    })
    assert.equal((await fetch(url)).status, status)
  })
}

test('a stream that fails before its first chunk has the status of its error', async (t) => {
  const { simulator, client } = await pair(t, { maxRetries: 0 })
  simulator.setDefault({ status: 429 })
  const url = await listen(t, (ctx) => client.stream(REQUEST).pipe(ctx.res))
  assert.equal((await fetch(url)).status, 429)
})

test('a 404 that a server without Koa has set stays', async (t) => {
  const { client } = await pair(t)
  const server = http
    .createServer((_, res) => {
      res.statusCode = 404
      client.stream(REQUEST).pipe(res)
    })
    .listen(0)
  t.after(() => server.close())
  await once(server, 'listening')
  assert.equal((await fetch(`http://127.0.0.1:${server.address().port}`)).status, 404)
})
