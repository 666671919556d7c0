// Everything that waits, defers or ends, in an environment whose globals may be fake: for fake-timers.test.mjs and for
// the test runners in this folder. Compare the result with `expected`.
const { EventEmitter } = require('node:events')

const ANSWER = 'one two three four five'
const MESSAGES = [{ role: 'user', content: 'Hi' }]
const LONG = 'x '.repeat(3000)

/** A `ServerResponse` without a socket: Node's servers do not work while `process.nextTick` is fake. */
class FakeResponse extends EventEmitter {
  text = ''
  headersSent = false
  writableEnded = false
  writableFinished = false
  setHeader() {}
  hasHeader() {
    return false
  }
  flushHeaders() {
    this.headersSent = true
  }
  write(text) {
    this.text += text
    return true
  }
  end() {
    this.writableEnded = true
    this.writableFinished = true
    this.emit('finish')
  }
}

async function joined(deltas) {
  let text = ''
  for await (const delta of deltas) text += typeof delta === 'string' ? delta : (delta.choices[0]?.delta.content ?? '')
  return text
}

exports.exercise = async ({ HolySheepStreamingClient, RateLimitedClient, batchProcess, ...holysheep }) => {
  const simulator = await holysheep.startSimulator({ answer: ANSWER })
  const client = new HolySheepStreamingClient('k', { baseUrl: simulator.url, retry: { baseDelayMs: 1 } })
  const stream = (options) => client.stream({ messages: MESSAGES }, options)
  const codeOf = (call) =>
    call.then(
      () => 'no error',
      (error) => error?.code ?? error,
    )
  const isWhole = (events) => events.startsWith(': ') && events.endsWith('data: [DONE]\n\n')
  const results = {}

  results.chat = (await client.chat({ messages: MESSAGES })).choices[0].message.content
  results.text = await stream().text()
  results.textStream = await joined(stream().textStream)
  results.chunks = await joined(stream())
  results.readable = await joined(stream().toReadableStream())
  const later = stream()
  await new Promise((resolve) => client.models().then(resolve, resolve))
  results.later = await joined(later)
  let received = ''
  await client.streamWithRetry(MESSAGES, (text) => {
    received += text
  })
  results.callback = received
  results.batch = (await batchProcess(['a', 'b'], { client })).map(({ result }) => result)

  simulator.setDefault({ text: LONG })
  results.burst = (await Promise.all(Array.from({ length: 10 }, () => joined(stream().textStream)))).every(
    (text) => text === LONG,
  )

  // Later than a few heartbeats.
  simulator.setDefault({ firstTokenDelayMs: 60 })
  const response = new FakeResponse()
  results.pipe = (await stream().pipe(response, { heartbeatMs: 5 })).outcome
  results.piped = isWhole(response.text)
  // jsdom has no `Response`.
  if (typeof Response === 'function') {
    results.sse = isWhole(await stream().toSSEResponse({ heartbeatMs: 5 }).text())
    results.textResponse = await stream().toTextResponse().text()
    const fetch = holysheep.createFetch({ heartbeatMs: 5 })
    const headers = { 'content-type': 'application/json', authorization: 'Bearer k' }
    const body = JSON.stringify({ model: 'm', messages: MESSAGES, stream: true })
    const answer = await fetch(`${simulator.url}/v1/chat/completions`, { method: 'POST', headers, body })
    results.fetch = (await answer.text()).endsWith('data: [DONE]\n\n')
    // A heartbeat depends on how much time has passed.
    simulator.setDefault({ chunkDelayMs: 60_000 })
    const slow = await fetch(`${simulator.url}/v1/chat/completions`, { method: 'POST', headers, body })
    const reader = slow.body.getReader()
    let events = ''
    while (!events.includes(': heartbeat')) events += Buffer.from((await reader.read()).value)
    await reader.cancel()
    await fetch.close()
  }

  simulator.setDefault({ hang: true })
  results.deadline = await codeOf(client.chat({ messages: MESSAGES }, { totalTimeoutMs: 30 }))
  results.streamDeadline = await codeOf(joined(stream({ totalTimeoutMs: 30 })))
  results.abortedBefore = await codeOf(stream({ signal: AbortSignal.abort('aborted') }).text())
  const aborted = stream()
  const text = aborted.text()
  aborted.abort('aborted')
  results.aborted = await codeOf(text)
  const limited = new RateLimitedClient('k', { baseUrl: simulator.url, capacity: 1, refillRate: 50 })
  await limited.acquire()
  results.limit = await codeOf(limited.acquire())
  await limited.close()

  const hanging = codeOf(client.chat({ messages: MESSAGES }))
  await client.close()
  results.close = await hanging
  await simulator.close()
  return results
}

exports.expected = (results) => ({
  ...Object.fromEntries(
    ['chat', 'text', 'textStream', 'chunks', 'readable', 'later', 'callback'].map((name) => [name, ANSWER]),
  ),
  batch: [ANSWER, ANSWER],
  burst: true,
  pipe: 'complete',
  piped: true,
  ...('sse' in results && { sse: true, textResponse: ANSWER, fetch: true }),
  deadline: 'TIMEOUT',
  streamDeadline: 'TIMEOUT',
  abortedBefore: 'aborted',
  aborted: 'aborted',
  limit: 'no error',
  close: 'CLIENT_CLOSED',
})
