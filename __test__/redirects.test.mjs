// No path follows a redirect to another origin, and none repeats a body.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { createFetch } from '../fetch.mjs'
import { HolySheepStreamingClient } from '../index.mjs'
import { listen } from './support/listen.mjs'
import { failure, REQUEST } from './support/provider.mjs'

const HEADERS = {
  authorization: 'Bearer sk-1',
  'api-key': 'k-1',
  'x-api-key': 'k-2',
  'content-type': 'application/json',
}
const BODY = JSON.stringify({ model: 'm', input: 'x' })
const POST = { method: 'POST', headers: HEADERS, body: BODY }
const STATUSES = [301, 302, 303, 307, 308]

/** A server that records its requests and answers with `answer(request, response)`. */
async function server(t, answer) {
  const requests = []
  const http = createServer(async (req, res) => {
    let body = ''
    for await (const part of req) body += part
    requests.push({ method: req.method, url: req.url, headers: req.headers, body })
    answer(req, res)
  })
  return { origin: await listen(t, http), requests }
}

/** A server whose every request is redirected, and another one that nothing must reach. */
async function redirecting(t, location) {
  const other = await server(t, (_, res) => res.end('{"data":[]}'))
  const state = { status: 307 }
  const first = await server(t, (req, res) =>
    res.writeHead(state.status, { location: location(other.origin, req) }).end('{"error":"moved"}'),
  )
  return { other, first, state }
}

function fetchOf(t, options) {
  const fetch = createFetch({ maxRetries: 1, retry: { baseDelayMs: 1, jitter: 'none' }, ...options })
  t.after(() => fetch.close())
  return fetch
}

test('createFetch sends nothing to the origin that a redirect names', async (t) => {
  const { other, first, state } = await redirecting(t, (origin) => `${origin}/v1/elsewhere?token=t`)
  const fetch = fetchOf(t)
  const url = `${first.origin}/v1`
  for (state.status of STATUSES) {
    for (const response of [
      await fetch(`${url}/models`, { headers: HEADERS }),
      await fetch(`${url}/models`, { method: 'HEAD', headers: HEADERS }),
      await fetch(`${url}/embeddings`, POST),
      await fetch(`${url}/chat/completions`, POST),
      await fetch(`${url}/files`, { ...POST, body: new URLSearchParams('a=1') }),
      await fetch(new Request(`${url}/embeddings`, POST)),
      await fetch(new URL(`${url}/models/m`), { method: 'DELETE', headers: HEADERS }),
      await fetch(`${url}/responses`, { ...POST, body: '{"input":1}' }),
    ]) {
      assert.equal(response.status, state.status)
      assert.equal(response.headers.get('location'), null)
      assert.equal(response.headers.get('x-should-retry'), 'false')
      const { error } = await response.json()
      assert.equal(error.code, 'REDIRECTED')
      assert.match(error.message, new RegExp(`^${state.status} .*redirect to ${new URL(other.origin).host}`))
      assert.ok(!error.message.includes('token'))
    }
  }
  assert.equal(other.requests.length, 0)
  assert.equal(first.requests.length, STATUSES.length * 8)
})

test('another port, scheme or host is another origin, and so is a URL with credentials', async (t) => {
  let location = ''
  const { first } = await redirecting(t, () => location)
  const { port } = new URL(first.origin)
  const fetch = fetchOf(t)
  for (location of [
    `https://127.0.0.1:${port}/`,
    `http://localhost:${port}/`,
    `//127.0.0.2:${port}/`,
    `http://user:word@127.0.0.1:${port}/`,
    'data:application/json,{}',
    'http://[',
  ]) {
    const response = await fetch(`${first.origin}/v1/models`, { headers: HEADERS })
    assert.equal((await response.json()).error.code, 'REDIRECTED', location)
  }
  assert.equal(first.requests.length, 6)
})

test('a GET follows up to five redirects on its origin, with its headers', async (t) => {
  let hops = 0
  const { origin, requests } = await server(t, ({ url }, res) => {
    const at = Number(url.split('=')[1] ?? 0)
    if (at === hops) return res.end('{"data":["m"]}')
    res.writeHead(STATUSES[at % 5], { location: `/v1/models?at=${at + 1}` }).end()
  })
  const fetch = fetchOf(t)
  for (const input of [`${origin}/v1/models`, new Request(`${origin}/v1/models`, { headers: HEADERS })]) {
    for (hops of [1, 5]) {
      requests.length = 0
      const response = await fetch(input, typeof input === 'string' ? { headers: HEADERS } : undefined)
      assert.deepEqual([response.status, await response.json()], [200, { data: ['m'] }])
      assert.equal(requests.length, hops + 1)
      for (const { method, headers } of requests) {
        assert.deepEqual([method, headers['api-key'], headers['x-api-key']], ['GET', 'k-1', 'k-2'])
      }
    }
  }
  hops = 6
  const response = await fetch(`${origin}/v1/models`, { headers: HEADERS })
  assert.match((await response.json()).error.message, /more than 5 redirects/)
})

test('a body is never sent again, also on one origin', async (t) => {
  const { first, state } = await redirecting(t, () => '/v1/elsewhere')
  const fetch = fetchOf(t)
  for (state.status of STATUSES) {
    const response = await fetch(`${first.origin}/v1/embeddings`, POST)
    assert.equal((await response.json()).error.code, 'REDIRECTED')
  }
  assert.deepEqual(new Set(first.requests.map(({ url }) => url)), new Set(['/v1/embeddings']))
})

test("redirect: 'manual' and 'error' mean what they mean to fetch, and a custom fetch is told not to follow", async (t) => {
  const { other, first } = await redirecting(t, (origin) => `${origin}/x`)
  const fetch = fetchOf(t)
  const response = await fetch(`${first.origin}/v1/models`, { redirect: 'manual' })
  assert.deepEqual([response.status, response.headers.get('location')], [307, `${other.origin}/x`])
  await assert.rejects(fetch(`${first.origin}/v1/models`, { redirect: 'error' }), TypeError)
  const seen = []
  const custom = fetchOf(t, {
    fetch: (input, init) => {
      seen.push(init.redirect, init.dispatcher)
      return globalThis.fetch(input, { ...init, dispatcher: undefined })
    },
  })
  await custom(`${first.origin}/v1/models`, { dispatcher: 'mine' })
  assert.deepEqual(seen, ['manual', 'mine'])
  assert.equal(other.requests.length, 0)
})

test('calls, models() and health checks follow no redirect', async (t) => {
  const { other, first } = await redirecting(t, (origin) => `${origin}/v1/x`)
  const client = new HolySheepStreamingClient('sk-1', { baseUrl: `${first.origin}/v1`, maxRetries: 0 })
  t.after(() => client.close())
  assert.equal((await failure(client.chat(REQUEST))).code, 'REDIRECTED')
  assert.equal((await failure(client.stream(REQUEST).result)).code, 'REDIRECTED')
  assert.equal((await failure(client.models())).code, 'REDIRECTED')
  assert.equal((await client.healthCheck())[0].code, 'REDIRECTED')
  assert.equal(other.requests.length, 0)
})
