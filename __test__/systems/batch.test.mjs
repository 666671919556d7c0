// batchProcess and batchStream (HolySheep tutorial 000).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchProcess, batchStream, CircuitOpenError, HolySheepError, HolySheepStreamingClient } from '../../index.mjs'
import { ANSWER, failure, KEY, provider, settled, until } from '../support/provider.mjs'

const PROMPTS = ['Viết một đoạn văn về AI', 'Giải thích machine learning', 'So sánh NLP và computer vision']
const optionsOf = (simulator, more) => ({
  apiKey: KEY,
  baseUrl: simulator.url,
  retry: { baseDelayMs: 1, jitter: 'none' },
  ...more,
})
/** A client that echoes each prompt once `answer` resolves, and a record of its calls. */
function stub(answer = async () => {}) {
  const calls = { active: 0, peak: 0, prompts: [] }
  const chat = async (request, options) => {
    const text = request.messages[0].content
    calls.prompts.push(text)
    calls.peak = Math.max(calls.peak, ++calls.active)
    try {
      await answer(text, options)
      return { choices: [{ message: { content: text } }] }
    } finally {
      calls.active--
    }
  }
  return { client: { chat }, calls }
}

test('every prompt gets a result, in order, from the tutorial’s default model', async (t) => {
  const simulator = await provider(t)
  const results = await batchProcess(PROMPTS, optionsOf(simulator))
  assert.deepEqual(
    results,
    PROMPTS.map((_, index) => ({ index, success: true, result: ANSWER })),
  )
  assert.deepEqual([...new Set(simulator.requests.map(({ json }) => json.model))], ['gemini-2.5-flash'])
  const sent = simulator.requests.map(({ json }) => json.messages[0].content).sort()
  assert.deepEqual(sent, [...PROMPTS].sort())
})

test('maxAttempts is an alias of maxRetries, and giving both is an error', async (t) => {
  const simulator = await provider(t, { default: { status: 500 } })
  const [failed] = await batchProcess(['x'], optionsOf(simulator, { maxAttempts: 2 }))
  assert.deepEqual([failed.cause.attempts.length, simulator.requests.length], [2, 2])
  const error = await failure(batchProcess(['x'], optionsOf(simulator, { maxAttempts: 2, maxRetries: 2 })))
  assert.match(
    error.message,
    /^maxAttempts: got a value in addition to `maxRetries`, which means the same here; accepted: only one of the two$/,
  )
})

test('each prompt gets at most three attempts, and a failed prompt does not stop the others', async (t) => {
  const simulator = await provider(t)
  simulator.script({ status: 500 }, { status: 500 }, {}, { status: 400 }, {})
  const results = await batchProcess(PROMPTS, optionsOf(simulator, { concurrency: 1 }))
  assert.deepEqual(
    results.map(({ success }) => success),
    [true, false, true],
  )
  const { error, cause } = results[1]
  assert.ok(cause instanceof HolySheepError)
  assert.deepEqual([cause.status, cause.attempts.length, error], [400, 1, cause.message])
  assert.equal(simulator.requests.length, 5)

  simulator.reset()
  simulator.setDefault({ status: 500 })
  const [failed] = await batchProcess(['x'], optionsOf(simulator))
  assert.deepEqual([failed.cause.status, failed.cause.attempts.length, simulator.requests.length], [500, 3, 3])
})

test('prompts wait while a circuit is open, and none is dropped', async (t) => {
  const simulator = await provider(t)
  simulator.script(...Array.from({ length: 4 }, () => ({ status: 503 })))
  const prompts = Array.from({ length: 12 }, (_, i) => `prompt ${i}`)
  const circuitBreaker = { failureThreshold: 2, timeout: 150 }
  const results = await batchProcess(prompts, optionsOf(simulator, { concurrency: 4, maxRetries: 5, circuitBreaker }))
  assert.deepEqual(
    results.filter(({ success }) => !success),
    [],
  )
  assert.deepEqual(
    results.map(({ index }) => index),
    prompts.map((_, i) => i),
  )
})

test('a wait for an open circuit is not an attempt, but a probe is, so a long outage fails the prompt', async (t) => {
  const simulator = await provider(t, { default: { status: 503 } })
  const circuitBreaker = { failureThreshold: 1, timeout: 20 }
  const results = await batchProcess(['a', 'b', 'c'], optionsOf(simulator, { concurrency: 3, circuitBreaker }))
  for (const { success, cause } of results) {
    assert.deepEqual([success, cause.status, cause.attempts.length], [false, 503, 3])
    assert.deepEqual(
      cause.attempts.map(({ attempt }) => attempt),
      [1, 2, 3],
    )
  }
  assert.equal(simulator.requests.length, 9)
})

test('prompts share no retry budget, so one 429 for each prompt fails none of them', async (t) => {
  const prompts = Array.from({ length: 150 }, (_, i) => `${i}`)
  const simulator = await provider(t)
  simulator.script(...prompts.flatMap(() => [{ status: 429, retryAfterMs: 1 }, {}]))
  const results = await batchProcess(prompts, optionsOf(simulator, { concurrency: 1 }))
  assert.equal(results.filter(({ success }) => success).length, 150)
})

test('many concurrent prompts on one signal cause no warning', async (t) => {
  const warnings = []
  const listen = (warning) => warnings.push(warning.message)
  process.on('warning', listen)
  t.after(() => process.off('warning', listen))
  const simulator = await provider(t)
  const prompts = Array.from({ length: 200 }, (_, i) => `${i}`)
  await batchProcess(prompts, optionsOf(simulator, { concurrency: 50, signal: new AbortController().signal }))
  await new Promise(setImmediate)
  assert.deepEqual(warnings, [])
})

test('attempts before and after an open circuit count toward the same limit', async (t) => {
  const simulator = await provider(t, { default: { status: 429, retryAfterMs: 1 } })
  simulator.script({ status: 503 }, { status: 503 })
  const circuitBreaker = { failureThreshold: 2, timeout: 20 }
  const [{ cause }] = await batchProcess(['a'], optionsOf(simulator, { circuitBreaker }))
  assert.deepEqual([cause.status, cause.attempts.length, simulator.requests.length], [429, 3, 3])
})

test('prompts that wait for the circuit resume as soon as a probe succeeds', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let down = true
  const { client } = stub(async (text) => {
    if (!down) return
    const retryAfterMs = text === 'probe' ? 50 : 60_000
    throw Object.assign(new CircuitOpenError('open'), { code: 'CIRCUIT_OPEN', retryAfterMs })
  })
  setTimeout(() => {
    down = false
  }, 20)
  const batch = batchProcess(['one', 'probe', 'two'], { client })
  const isOver = settled(batch)
  for (let ms = 0; ms < 10_000 && !isOver(); ms += 10) {
    t.mock.timers.tick(10)
    await new Promise(setImmediate)
  }
  const results = await batch
  assert.deepEqual(
    results.map(({ result }) => result),
    ['one', 'probe', 'two'],
  )
})

test('onProgress reports counts and an estimate of the remaining time', async (t) => {
  const simulator = await provider(t)
  simulator.script({}, { status: 400 })
  const reports = []
  const onProgress = (progress) => void reports.push(progress)
  await batchProcess(PROMPTS, optionsOf(simulator, { concurrency: 1, onProgress }))
  const counts = reports.map(({ done, succeeded, failed, total }) => [done, succeeded, failed, total])
  assert.deepEqual(counts, [
    [1, 1, 0, 3],
    [2, 1, 1, 3],
    [3, 2, 1, 3],
  ])
  for (const { done, elapsedMs, estimatedMsLeft } of reports) {
    assert.ok(Math.abs(estimatedMsLeft - (elapsedMs / done) * (3 - done)) < 1e-6)
  }
  reports.length = 0
  const { client } = stub()
  await batchProcess(['x'], { client, onProgress, total: undefined })
  assert.equal(reports[0].total, 1)
  reports.length = 0
  async function* source() {
    yield* PROMPTS
  }
  for await (const _ of batchStream(source(), { client, onProgress }));
  assert.deepEqual([reports[0].total, reports[0].estimatedMsLeft, reports.length], [undefined, undefined, 3])
})

test('an abort stops the batch and keeps the results so far', async (t) => {
  const simulator = await provider(t, { default: { hang: true } })
  simulator.script({ text: 'done' })
  const controller = new AbortController()
  const reason = new Error('enough')
  const options = optionsOf(simulator, { concurrency: 2, signal: controller.signal })
  options.onProgress = () => setTimeout(() => controller.abort(reason), 20)
  const results = await batchProcess(['a', 'b', 'c', 'd', 'e'], options)
  assert.equal(results.filter(({ success }) => success).length, 1)
  const stopped = results.filter(({ success }) => !success)
  assert.equal(stopped.length, 4)
  for (const { cause, error } of stopped) assert.deepEqual([cause, error], [reason, 'enough'])
  assert.ok(simulator.requests.length <= 3)
  await until(() => simulator.requests.every(({ endedBy }) => endedBy !== 'open'), 'the end of the requests')

  const early = await batchProcess(['a'], { ...options, signal: AbortSignal.abort(reason) })
  assert.deepEqual(early, [{ index: 0, success: false, error: 'enough', cause: reason }])
})

test('an iterable of 100,000 prompts is read no further ahead than the concurrency', async () => {
  let read = 0
  let done = 0
  let mostAhead = 0
  async function* source() {
    for (; read < 100_000; read++) {
      mostAhead = Math.max(mostAhead, read - done)
      yield `prompt ${read}`
    }
  }
  const { client, calls } = stub()
  calls.prompts = { push() {} }
  const seen = new Uint8Array(100_000)
  for await (const { index, result } of batchStream(source(), { client, concurrency: 16 })) {
    assert.equal(result, `prompt ${index}`)
    seen[index]++
    done++
  }
  assert.deepEqual([read, done, seen.every((count) => count === 1)], [100_000, 100_000, true])
  assert.ok(calls.peak <= 16, `${calls.peak} at once`)
  assert.ok(mostAhead <= 17, `${mostAhead} read ahead`)
})

test('a slow consumer keeps new prompts from starting', async () => {
  const { client, calls } = stub()
  const stream = batchStream(
    (function* () {
      for (let i = 0; ; i++) yield `${i}`
    })(),
    { client, concurrency: 4 },
  )
  await stream.next()
  for (let i = 0; i < 50; i++) await new Promise(setImmediate)
  assert.ok(calls.prompts.length <= 5, `${calls.prompts.length}`)
  await stream.return()
  for (let i = 0; i < 50; i++) await new Promise(setImmediate)
  assert.ok(calls.prompts.length <= 5)
})

test('leaving the loop aborts the running prompts and closes the source', async (t) => {
  const simulator = await provider(t, { default: { hang: true } })
  simulator.script({})
  let closed = false
  async function* source() {
    try {
      for (;;) yield 'x'
    } finally {
      closed = true
    }
  }
  for await (const result of batchStream(source(), optionsOf(simulator, { concurrency: 3 }))) {
    assert.equal(result.success, true)
    break
  }
  await until(() => closed && simulator.requests.every(({ endedBy }) => endedBy !== 'open'), 'the end of the batch')
})

test('an error of the source rejects the batch', async () => {
  const { client } = stub()
  async function* source() {
    yield 'one'
    throw new Error('the file is gone')
  }
  await assert.rejects(batchProcess(source(), { client }), /the file is gone/)
})

test('a given client is used, and a prompt can be a conversation', async (t) => {
  const simulator = await provider(t)
  const client = new HolySheepStreamingClient(KEY, { baseUrl: simulator.url })
  const conversation = [
    { role: 'system', content: 'Ngắn gọn.' },
    { role: 'user', content: 'Xin chào' },
  ]
  const [{ result }] = await batchProcess([conversation], { client, model: 'm', request: { temperature: 0 } })
  assert.equal(result, ANSWER)
  const { messages, model, temperature } = simulator.requests[0].json
  assert.deepEqual([messages, model, temperature], [conversation, 'm', 0])
})

test('invalid arguments reject the batch, and an invalid prompt fails alone', async () => {
  const { client } = stub()
  for (const [prompts, options] of [
    ['a text', {}],
    [5, {}],
    [undefined, {}],
    [[], { concurrency: 0 }],
    [[], { maxRetries: 0 }],
    [[], { onProgress: 1 }],
    [[], { nonsense: 1, apiKey: KEY }],
    [['a'], 5],
    [['a'], 'zz'],
    [['a'], { client, model: 5 }],
    [[], { client, apiKey: KEY }],
    [[], { client: {} }],
  ]) {
    assert.equal((await failure(batchProcess(prompts, options))).code, 'INVALID_ARGUMENT')
  }
  assert.deepEqual(await batchProcess([], { client }), [])
  const [good, bad] = await batchProcess(['x', 7], { client })
  assert.deepEqual([good.success, bad.success, bad.cause.code], [true, false, 'INVALID_ARGUMENT'])
})
