// streamWithTimeout (HolySheep tutorial 002), without the faults of the tutorial's own code.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepError, streamWithTimeout, TimeoutError } from '../../index.mjs'
import { run } from '../support/child.mjs'
import { failure, MESSAGES, provider, until } from '../support/provider.mjs'

const init = (extra) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'gpt-4.1', messages: MESSAGES, stream: true }),
  ...extra,
})
const at = (simulator) => `${simulator.url}/chat/completions`
/** Reads a body until it ends or fails. */
async function readAll(response, onText = () => {}) {
  let text = ''
  const decoder = new TextDecoder()
  try {
    for await (const chunk of response.body) {
      text += decoder.decode(chunk, { stream: true })
      onText(text)
    }
  } catch (error) {
    return { text, error }
  }
  return { text }
}

/** Sends a request whose timeout elapses when `fire` is called: `{ response, fire }`. Other timers are not affected. */
function ask(simulator, extra) {
  const { setTimeout } = globalThis
  const timer = { unref() {} }
  const TIMEOUT = 1234
  globalThis.setTimeout = (callback, ms, ...args) => {
    if (ms !== TIMEOUT) return setTimeout(callback, ms, ...args)
    timer.fire = callback
    return timer
  }
  try {
    return { response: streamWithTimeout(at(simulator), init(extra), TIMEOUT), fire: () => timer.fire() }
  } finally {
    globalThis.setTimeout = setTimeout
  }
}
/** Whether both chunks of a body that stalls after its second are in. */
const isAllSent = (body) => body.match(/"content":"[^"]/g)?.length === 2
/** Reads a stalled body, and lets the timeout elapse once everything that was sent has been read. */
async function readUntilTimeout({ response, fire }) {
  let all = ''
  const read = readAll(await response, (text) => {
    all = text
  })
  await until(() => isAllSent(all))
  fire()
  return read
}

test('a response that arrives in time is returned', async (t) => {
  const simulator = await provider(t)
  const response = await streamWithTimeout(at(simulator), init(), 5000)
  assert.deepEqual([response.status, response.ok, response.url], [200, true, at(simulator)])
  assert.match(response.headers.get('content-type'), /event-stream/)
  const { text, error } = await readAll(response)
  assert.equal(error, undefined)
  assert.match(text, /\[DONE\]/)
})

test('a server that does not answer causes a TIMEOUT error, and the connection is closed', async (t) => {
  const simulator = await provider(t, { default: { hang: true } })
  const { response, fire } = ask(simulator, { partialBuffer: 'what I had' })
  const call = failure(response)
  await until(() => simulator.requests.length === 1)
  fire()
  const error = await call
  assert.ok(error instanceof TimeoutError && error instanceof HolySheepError)
  assert.deepEqual([error.code, error.phase, error.message], ['TIMEOUT', 'total', 'Request timeout'])
  assert.equal(error.partialData, 'what I had')
  await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
})

test('a body that stalls after the headers times out too, and partialData is what was received', async (t) => {
  const simulator = await provider(t, { default: { text: 'Xin chào', disconnect: { afterChunks: 2, how: 'stall' } } })
  const { text, error } = await readUntilTimeout(ask(simulator, { partialBuffer: 'before ' }))
  assert.ok(error instanceof TimeoutError)
  assert.match(text, /"content"/)
  assert.equal(error.partialData, `before ${text}`)
  await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
})

test('data that arrives unread counts as received', async (t) => {
  const simulator = await provider(t, { default: { text: 'Xin chào', disconnect: { afterChunks: 2, how: 'stall' } } })
  const { response, fire } = ask(simulator)
  const unread = await response
  // A later response has been read completely, so this data has arrived too.
  await until(() => simulator.requests[0].bytesSent > 0)
  const other = ask(simulator)
  await readUntilTimeout(other)
  fire()
  const { text, error } = await readAll(unread)
  assert.deepEqual([text, error.code], ['', 'TIMEOUT'])
  assert.match(error.partialData, /"content"/)
})

test('an unread body does not keep the process alive, but a pending read does', async () => {
  const script = `
    const respond = process.env.STALLS ? (q, r) => r.writeHead(200).write('hi') : (q, r) => r.end('hi')
    const server = (await import('node:http')).createServer(respond).listen(0)
    await new Promise((resolve) => server.on('listening', resolve))
    const url = 'http://127.0.0.1:' + server.address().port
    const response = await holysheep.streamWithTimeout(url, {}, process.env.STALLS ? 3000 : 3_600_000)
    await simulator.close()
    server.unref()
    if (!process.env.STALLS) server.closeAllConnections()
    const started = performance.now()
    process.on('exit', () => console.log(performance.now() - started < 1_800_000 ? 'soon' : 'late'))
    if (process.env.STALLS) await response.text().catch(({ code }) => console.log(code))
  `
  assert.equal((await run(script)).stdout, 'soon\n')
  assert.equal((await run(script, { env: { STALLS: '1' } })).stdout, 'TIMEOUT\nsoon\n')
})

test('partialData is bytes when partialBuffer is', async (t) => {
  const simulator = await provider(t, { default: { text: 'Xin chào', disconnect: { afterChunks: 2, how: 'stall' } } })
  const before = new Uint8Array([1, 2])
  const { text, error } = await readUntilTimeout(ask(simulator, { partialBuffer: before }))
  assert.deepEqual([...error.partialData.subarray(0, 2)], [1, 2])
  assert.equal(Buffer.from(error.partialData.subarray(2)).toString(), text)
})

test("the caller's signal works before and after the headers", async (t) => {
  const simulator = await provider(t, { default: { hang: true } })
  const reason = new Error('my reason')
  const controller = new AbortController()
  setTimeout(() => controller.abort(reason), 20)
  assert.equal(await failure(streamWithTimeout(at(simulator), init({ signal: controller.signal }), 60_000)), reason)

  simulator.setDefault({ disconnect: { afterChunks: 1, how: 'stall' } })
  const second = new AbortController()
  const response = await streamWithTimeout(at(simulator), init({ signal: second.signal }), 60_000)
  setTimeout(() => second.abort(reason), 20)
  assert.equal((await readAll(response)).error, reason)
  assert.equal(await failure(streamWithTimeout(at(simulator), { signal: AbortSignal.abort(reason) })), reason)
})

test('a reader that stops early closes the connection', async (t) => {
  const simulator = await provider(t, { default: { repeat: 1_000_000 } })
  const response = await streamWithTimeout(at(simulator), init(), 60_000)
  for await (const chunk of response.body) {
    assert.ok(chunk.length > 0)
    break
  }
  await until(() => simulator.requests[0].endedBy === 'client', 'the end of the request')
})

test('other errors are passed through, and invalid arguments are rejected', async (t) => {
  const simulator = await provider(t)
  await simulator.close()
  const error = await failure(streamWithTimeout(at(simulator), init(), 5000))
  assert.equal(error.cause.code, 'ECONNREFUSED')
  await assert.rejects(streamWithTimeout('http://x', {}, 0), { code: 'INVALID_ARGUMENT' })
  await assert.rejects(streamWithTimeout('http://x', { partialBuffer: 5 }), { code: 'INVALID_ARGUMENT' })
  await assert.rejects(streamWithTimeout('http://x', { signal: 5 }), { code: 'INVALID_ARGUMENT', message: /^signal: / })
  for (const url of [undefined, '/relative', 5]) {
    await assert.rejects(streamWithTimeout(url), { code: 'INVALID_ARGUMENT', message: /^url: got / })
  }
})
