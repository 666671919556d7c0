// BoundedRetryQueue (document 000).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedRetryQueue, QueueFullError } from '../../index.mjs'
import { ANSWER, clockOf, failure, KEY, provider, until } from '../support/provider.mjs'

async function pair(t, options, simulatorOptions) {
  const simulator = await provider(t, simulatorOptions)
  const retry = { baseDelayMs: 1, jitter: 'none' }
  const queue = new BoundedRetryQueue({ apiKey: KEY, baseUrl: simulator.url, retry, ...options })
  return { simulator, queue }
}
async function all(iterator) {
  const results = []
  for await (const result of iterator) results.push(result)
  return results
}

test('every task has a result, and then nothing of it is left', async (t) => {
  const { simulator, queue } = await pair(t)
  assert.deepEqual([queue.maxRetries, queue.maxSize], [3, 1000])
  for (const id of ['a', 'b', 'c']) await queue.addTask(id, `prompt ${id}`)
  assert.equal(queue.size, 3)
  const results = await all(queue.processWithRetry())
  assert.deepEqual(results.map(({ taskId }) => taskId).sort(), ['a', 'b', 'c'])
  assert.ok(results.every(({ response }) => response === ANSWER))
  assert.deepEqual([queue.size, simulator.requests.length], [0, 3])
  await queue.addTask('a', 'again')
  assert.equal((await all(queue.processWithRetry())).length, 1)
})

test('a task has three attempts in all, and its error is told with what was tried', async (t) => {
  const { simulator, queue } = await pair(t, { concurrency: 1 })
  simulator.script({ status: 500 }, { status: 500 }, { status: 500 })
  await queue.addTask('bad', 'x')
  const [bad, ...none] = await all(queue.processWithRetry())
  assert.deepEqual([bad.taskId, none], ['bad', []])
  assert.deepEqual([bad.cause.name, bad.cause.status, bad.cause.attempts.length], ['APIError', 500, 3])
  assert.equal(bad.error, bad.cause.message)
  await queue.addTask('good', 'y')
  assert.deepEqual(await all(queue.processWithRetry()), [{ taskId: 'good', response: ANSWER }])
})

test('maxAttempts is the clear name of its maxRetries, and only one of them is given', async (t) => {
  const { simulator, queue } = await pair(t, { maxAttempts: 2 }, { default: { status: 500 } })
  assert.equal(queue.maxRetries, 2)
  await queue.addTask('bad', 'x')
  assert.equal((await all(queue.processWithRetry()))[0].cause.attempts.length, 2)
  assert.equal(simulator.requests.length, 2)
  const message = /^maxAttempts: got a value in addition to `maxRetries`, which means the same here; accepted: only one of the two$/
  assert.throws(() => new BoundedRetryQueue({ apiKey: KEY, maxAttempts: 2, maxRetries: 2 }), { message })
  assert.throws(() => new BoundedRetryQueue(3, 9, { apiKey: KEY, maxAttempts: 2 }), { message })
  assert.throws(() => new BoundedRetryQueue({ apiKey: KEY, maxAttempts: 0 }), { message: /^maxAttempts: got 0/ })
})

test('it is bounded, and an id that is there already is refused', async () => {
  const queue = new BoundedRetryQueue(3, 2, { apiKey: KEY })
  await queue.addTask('a', 'x')
  const twice = await failure(queue.addTask('a', 'y'))
  assert.equal(twice.code, 'INVALID_ARGUMENT')
  await queue.addTask('b', 'x')
  const full = await failure(queue.addTask('c', 'x'))
  assert.ok(full instanceof QueueFullError)
  assert.deepEqual([full.code, full.message], ['QUEUE_FULL', 'Queue is full, cannot add more tasks'])
  assert.equal(queue.size, 2)
})

test('a task that waits for its retry does not hold up the others', async (t) => {
  const clock = clockOf(t)
  // A pause that the provider asked for would be everybody's.
  const { simulator, queue } = await pair(t, { concurrency: 1, retry: { baseDelayMs: 2000, jitter: 'none' } })
  simulator.script({ status: 503 })
  for (const id of ['waits', 'b', 'c', 'd']) await queue.addTask(id, id)
  const order = []
  const results = async () => {
    for await (const { taskId } of queue.processWithRetry()) order.push(taskId)
  }
  const processed = results()
  await until(() => order.length === 3)
  await clock.runUntil(processed)
  assert.deepEqual(order, ['b', 'c', 'd', 'waits'])
})

test('no more attempts run at a time than it was told', async () => {
  let now = 0
  let most = 0
  const client = {
    async chat() {
      most = Math.max(most, ++now)
      await new Promise(setImmediate)
      now--
      return { choices: [{ message: { content: 'ok' } }] }
    },
  }
  const queue = new BoundedRetryQueue({ client, concurrency: 3 })
  for (let i = 0; i < 100; i++) await queue.addTask(`${i}`, 'x')
  assert.equal((await all(queue.processWithRetry())).length, 100)
  assert.equal(most, 3)
})

test('while the circuit is open tasks wait and none is dropped', async (t) => {
  const { simulator, queue } = await pair(t, { circuitBreaker: { failureThreshold: 2, timeout: 150 }, concurrency: 4 })
  simulator.script({ status: 503 }, { status: 503 })
  for (let i = 0; i < 8; i++) await queue.addTask(`${i}`, 'x')
  const results = await all(queue.processWithRetry())
  assert.equal(results.filter(({ response }) => response === ANSWER).length, 8)
})

test('the next reader takes over at once what the last one left', async (t) => {
  const { simulator, queue } = await pair(t, { concurrency: 2 })
  simulator.script({}, { hang: true })
  for (const id of ['a', 'b']) await queue.addTask(id, id)
  for await (const _ of queue.processWithRetry()) {
    // Both have been asked for: the one that is not answered is given up, and not the next one.
    await until(() => simulator.requests.length === 2, 'the second request')
    break
  }
  const [rest] = await all(queue.processWithRetry())
  assert.equal(rest.response, ANSWER)
  assert.equal(simulator.requests.length, 3)
})

test('tasks may be added while it is processed', async (t) => {
  const { queue } = await pair(t)
  await queue.addTask('first', 'x')
  const seen = []
  for await (const { taskId } of queue.processWithRetry()) {
    seen.push(taskId)
    if (seen.length < 3) await queue.addTask(`more ${seen.length}`, 'x')
  }
  assert.deepEqual(seen, ['first', 'more 1', 'more 2'])
})

test('what is finished and unread when a reader leaves is handed to the next one, not asked again', async () => {
  const asked = []
  const chat = async ({ messages }) => {
    asked.push(messages[0].content)
    return { choices: [{ message: { content: 'done' } }] }
  }
  const queue = new BoundedRetryQueue({ client: { chat }, concurrency: 3 })
  for (const id of ['a', 'b', 'c']) await queue.addTask(id, id)
  const seen = []
  for await (const { taskId } of queue.processWithRetry()) {
    seen.push(taskId)
    // The other two have their answers by now.
    await new Promise(setImmediate)
    break
  }
  assert.equal(queue.size, 2)
  for (const { taskId, response } of await all(queue.processWithRetry())) seen.push(taskId, response)
  assert.deepEqual(seen, ['a', 'b', 'done', 'c', 'done'])
  assert.deepEqual([asked, queue.size], [['a', 'b', 'c'], 0])
})

test('a reader that leaves, or an abort, stops what runs, and what is not finished stays', async (t) => {
  const { simulator, queue } = await pair(t, { concurrency: 3 })
  simulator.script({ text: 'one' }, { hang: true }, { hang: true })
  for (const id of ['a', 'b', 'c', 'd']) await queue.addTask(id, id)
  for await (const { response } of queue.processWithRetry()) {
    assert.equal(response, 'one')
    await until(() => simulator.requests.length === 3)
    break
  }
  assert.equal(queue.size, 3)
  await until(() => simulator.requests.every(({ endedBy }) => endedBy !== 'open'), 'the end of the requests')

  simulator.setDefault({ hang: true })
  const controller = new AbortController()
  const reason = new Error('enough')
  setTimeout(() => controller.abort(reason), 20)
  assert.equal(await failure(all(queue.processWithRetry({ signal: controller.signal }))), reason)
  assert.equal(queue.size, 3)

  simulator.setDefault({ text: 'late' })
  assert.equal((await all(queue.processWithRetry())).length, 3)
})

test('there is one reader at a time, and wrong options are refused', async (t) => {
  const { queue } = await pair(t, {}, { default: { hang: true } })
  await queue.addTask('a', 'x')
  const reader = queue.processWithRetry()
  const pending = reader.next()
  assert.equal((await failure(queue.processWithRetry().next())).code, 'INVALID_ARGUMENT')
  for (const options of [{ maxRetries: 0 }, { maxSize: 0 }, { concurrency: 1.5 }, { nonsense: 1, apiKey: KEY }]) {
    assert.throws(() => new BoundedRetryQueue(options), { code: 'INVALID_ARGUMENT' })
  }
  assert.equal((await failure(queue.addTask('', 'x'))).code, 'INVALID_ARGUMENT')
  assert.equal((await failure(queue.addTask('z', 5))).code, 'INVALID_ARGUMENT')
  pending.catch(() => {})
})
