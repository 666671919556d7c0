// The node:diagnostics_channel channels, and the logger option.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { channel, subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { inspect } from 'node:util'
import pino from 'pino'
import { HolySheepStreamingClient } from '../index.mjs'
import { failure, KEY, MESSAGES, pair, provider, QUICK, REQUEST } from './support/provider.mjs'

/** Records the messages of a tracing channel until the end of the test. */
function recordTrace(t, name) {
  const published = []
  const on = (kind) => (message) => published.push([kind, message])
  const kinds = ['start', 'end', 'asyncStart', 'asyncEnd', 'error']
  const subscribers = Object.fromEntries(kinds.map((kind) => [kind, on(kind)]))
  tracingChannel(`holysheep:${name}`).subscribe(subscribers)
  t.after(() => tracingChannel(`holysheep:${name}`).unsubscribe(subscribers))
  return published
}

test('a call is traced with one context object from start to end', async (t) => {
  const published = recordTrace(t, 'call')
  const { simulator, client } = await pair(t)
  const storage = new AsyncLocalStorage()
  const seen = []
  const listener = () => seen.push(storage.getStore())
  for (const kind of ['start', 'asyncEnd']) subscribe(`tracing:holysheep:call:${kind}`, listener)
  t.after(() => {
    for (const kind of ['start', 'asyncEnd']) unsubscribe(`tracing:holysheep:call:${kind}`, listener)
  })
  simulator.script({ status: 500 }, {})
  const request = { ...REQUEST, model: 'deepseek-v3.2' }
  await storage.run('mine', () => client.chat(request, { tenant: 'user-1', sessionId: 'session-1' }))
  assert.deepEqual(
    published.map(([kind]) => kind),
    ['start', 'end', 'asyncStart', 'asyncEnd'],
  )
  assert.equal(new Set(published.map(([, trace]) => trace)).size, 1)
  const [[, trace]] = published
  const { operation, model, tenant, sessionId, server, result } = trace
  assert.deepEqual([operation, model, tenant, sessionId], ['chat', 'deepseek-v3.2', 'user-1', 'session-1'])
  assert.deepEqual(server, { address: '127.0.0.1', port: simulator.port })
  assert.deepEqual([result.attempts.length, result.recoveries, result.finishReasons], [2, 0, ['stop']])
  assert.ok(trace.firstTokenMs >= 0 && trace.durationMs >= trace.firstTokenMs)
  assert.match(trace.call, /^call_/)
  assert.deepEqual(seen, ['mine', 'mine'])
})

test('a trace has the error of a failed call, the recoveries of an interrupted one, and the operation of a stream', async (t) => {
  const published = recordTrace(t, 'call')
  const { simulator, client } = await pair(t)
  simulator.script({ status: 400 }, { disconnect: { afterChunks: 3 } }, {})
  const error = await failure(client.stream(REQUEST).text())
  assert.deepEqual(
    published.map(([kind]) => kind),
    ['start', 'end', 'error', 'asyncStart', 'asyncEnd'],
  )
  assert.equal(published[0][1].error, error)
  const stream = client.stream(REQUEST)
  for await (const _ of stream.textStream);
  await stream.result
  const [, { operation, result }] = published.at(-1)
  assert.deepEqual([operation, result.recoveries, result.attempts.length], ['stream', 1, 2])
})

test('each attempt is traced with its outcome, and events are published unchanged', async (t) => {
  const published = recordTrace(t, 'attempt')
  const events = []
  const listener = (event) => events.push(event.type)
  subscribe('holysheep:event', listener)
  t.after(() => unsubscribe('holysheep:event', listener))
  const { simulator, client } = await pair(t)
  simulator.script({ status: 503 }, {})
  await client.chat(REQUEST)
  assert.deepEqual(
    published.map(([kind, { attempt }]) => `${kind} ${attempt}`),
    ['start 1', 'end 1', 'error 1', 'asyncStart 1', 'asyncEnd 1', 'start 2', 'end 2', 'asyncStart 2', 'asyncEnd 2'],
  )
  const [first, second] = [published[0][1], published.at(-1)[1]]
  assert.deepEqual([first.outcome, first.status, first.reason], ['SERVER_ERROR', 503, 'first'])
  assert.deepEqual([second.outcome, second.status, second.reason], ['complete', 200, 'retry'])
  assert.equal(second.parent.result.attempts.length, 2)
  assert.equal(second.requestId, simulator.requests[1].headers['x-client-request-id'])
  assert.ok(second.firstTokenMs >= 0)
  assert.deepEqual(events, ['attempt', 'attempt-failed', 'wait', 'attempt', 'first-token', 'complete'])
})

test('an attempt that its caller aborts is traced to the end', async (t) => {
  const published = recordTrace(t, 'attempt')
  const { simulator, client } = await pair(t)
  simulator.setDefault({ disconnect: { afterChunks: 2, how: 'stall' } })
  const stream = client.stream(REQUEST)
  for await (const _ of stream.textStream) break
  assert.deepEqual(
    published.map(([kind, { outcome }]) => [kind, outcome]),
    ['start', 'end', 'asyncStart', 'asyncEnd'].map((kind) => [kind, 'ABORTED']),
  )
})

test('a trace prints neither prompts nor keys, but gives access to the request', async (t) => {
  const published = recordTrace(t, 'call')
  const attempts = recordTrace(t, 'attempt')
  const { client } = await pair(t)
  const messages = [{ role: 'user', content: 'a private matter' }]
  await client.chat({ messages })
  for (const [, trace] of [...published, ...attempts]) {
    const shown = inspect(trace, { depth: 9 }) + JSON.stringify(trace)
    assert.ok(!shown.includes('private') && !shown.includes(KEY), shown)
  }
  assert.deepEqual(published[0][1].request.messages, messages)
})

test('without a subscriber no trace is created', async (t) => {
  const { client } = await pair(t)
  const parse = JSON.parse
  let parsed = 0
  JSON.parse = (...args) => {
    parsed++
    return parse(...args)
  }
  t.after(() => {
    JSON.parse = parse
  })
  assert.equal(channel('holysheep:event').hasSubscribers, false)
  await client.stream(REQUEST).result
  // Only the result is parsed.
  assert.equal(parsed, 1)
})

/** A logger that records its lines and takes either the object or the message first. */
function recordingLogger(objectFirst) {
  const lines = []
  const logger = objectFirst ? { bindings: () => ({}) } : {}
  for (const level of ['debug', 'info', 'warn', 'error']) {
    logger[level] = (a, b) => void lines.push([level, ...(objectFirst ? [b, a] : [a, b])])
  }
  return { lines, logger }
}

for (const objectFirst of [true, false]) {
  test(`a logger that takes the ${objectFirst ? 'object' : 'message'} first gets each event at its level`, async (t) => {
    const { lines, logger } = recordingLogger(objectFirst)
    const { simulator, client } = await pair(t, {
      logger,
      maxRetries: 1,
      fallbackModels: ['small'],
      circuitBreaker: { failureThreshold: 2 },
    })
    simulator.script({ status: 503 }, { status: 503 }, { disconnect: { afterChunks: 3 } }, {})
    await client.stream(REQUEST).result
    assert.deepEqual(
      lines.map(([level, , fields]) => `${level} ${fields.event}`),
      [
        'debug attempt',
        'warn attempt-failed',
        'info wait',
        'debug attempt',
        'warn circuit',
        'warn attempt-failed',
        'warn fallback',
        'debug attempt',
        'debug first-token',
        'warn attempt-failed',
        'warn recovery',
        'info wait',
        'debug attempt',
        'debug first-token',
        'debug complete',
      ],
    )
    const circuit = lines.find(([, , { event }]) => event === 'circuit')
    assert.match(circuit[1], /^holysheep: circuit CLOSED → OPEN at 127\.0\.0\.1:\d+ \(gpt-4\.1\)$/)
    assert.ok(!inspect(lines, { depth: 9 }).includes(KEY))
    simulator.setDefault({ status: 400 })
    await failure(client.chat(REQUEST))
    const [level, message, fields] = lines.at(-1)
    assert.deepEqual([level, fields.event, fields.code], ['error', 'failed', 'INVALID_REQUEST'])
    assert.match(message, /^holysheep: failed after \d+ ms: INVALID_REQUEST: /)
  })
}

test('pino and console are accepted as loggers', async (t) => {
  const written = []
  const logger = pino({ level: 'debug' }, { write: (line) => written.push(JSON.parse(line)) })
  const { client } = await pair(t, { logger })
  await client.chat(REQUEST)
  assert.deepEqual(
    written.map(({ level, event }) => [level, event]),
    [
      [20, 'attempt'],
      [20, 'first-token'],
      [20, 'complete'],
    ],
  )
  assert.match(written[0].msg, /^holysheep: attempt 1 \(first\) at /)
  new HolySheepStreamingClient(KEY, { logger: console })
  new HolySheepStreamingClient(KEY, { logger: false })
})

test('a logger that throws, rejects or lacks a level does not affect the call', async (t) => {
  const warnings = []
  const listener = ({ message }) => warnings.push(message)
  process.on('warning', listener)
  t.after(() => process.off('warning', listener))
  const broken = () => {
    throw new Error('disk full')
  }
  for (const logger of [{ debug: broken }, { debug: async () => broken() }, { error: broken }]) {
    const { client } = await pair(t, { logger })
    await client.chat(REQUEST)
  }
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(warnings.length >= 6 && warnings.every((message) => message === 'logger failed: Error: disk full'))
})

test('an invalid logger is rejected', () => {
  for (const logger of [1, 'console', {}, [], true]) {
    assert.throws(() => new HolySheepStreamingClient(KEY, { logger }), /^TypeError: logger: got .*console or pino/)
  }
})

test('a subscriber that throws does not affect the call', async (t) => {
  const simulator = await provider(t)
  const script = `
    import { subscribe } from 'node:diagnostics_channel'
    import { HolySheepStreamingClient } from './index.mjs'
    process.on('uncaughtException', (error) => console.log('uncaught', error.message))
    subscribe('holysheep:event', () => { throw new Error('mine') })
    const client = new HolySheepStreamingClient('sk-test', { baseUrl: '${simulator.url}', retry: ${JSON.stringify(QUICK.retry)} })
    console.log((await client.chat({ messages: ${JSON.stringify(MESSAGES)} })).choices[0].finish_reason)`
  const { node } = await import('./support/child.mjs')
  const { stdout } = await node(['--input-type=module', '-e', script])
  assert.deepEqual(new Set(stdout.trim().split('\n')), new Set(['uncaught mine', 'stop']))
})
