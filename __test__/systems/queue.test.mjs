// BoundedRetryQueue (HolySheep tutorial 000).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedRetryQueue, QueueFullError } from '../../index.mjs'
import { ANSWER, clockOf, failure, KEY, provider, until } from '../support/provider.mjs'

async function setup(t, options, simulatorOptions) {
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

test('every task yields one result and then leaves the queue', async (t) => {
  const { simulator, queue } = await setup(t)
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

test('a task gets at most three attempts, and its error lists them', async (t) => {
  const { simulator, queue } = await setup(t, { concurrency: 1 })
  simulator.script({ status: 500 }, { status: 500 }, { status: 500 })
  await queue.addTask('bad', 'x')
  const [bad, ...none] = await all(queue.processWithRetry())
  assert.deepEqual([bad.taskId, none], ['bad', []])
  assert.deepEqual([bad.cause.name, bad.cause.status, bad.cause.attempts.length], ['APIError', 500, 3])
  assert.equal(bad.error, bad.cause.message)
  await queue.addTask('good', 'y')
  assert.deepEqual(await all(queue.processWithRetry()), [{ taskId: 'good', response: ANSWER }])
})

test('maxAttempts is an alias of maxRetries, and giving both is an error', async (t) => {
  const { simulator, queue } = await setup(t, { maxAttempts: 2 }, { default: { status: 500 } })
  assert.equal(queue.maxRetries, 2)
  await queue.addTask('bad', 'x')
  assert.equal((await all(queue.processWithRetry()))[0].cause.attempts.length, 2)
  assert.equal(simulator.requests.length, 2)
  const message =
    /^maxAttempts: got a value in addition to `maxRetries`, which means the same here; accepted: only one of the two$/
  assert.throws(() => new BoundedRetryQueue({ apiKey: KEY, maxAttempts: 2, maxRetries: 2 }), { message })
  assert.throws(() => new BoundedRetryQueue(3, 9, { apiKey: KEY, maxAttempts: 2 }), { message })
  assert.throws(() => new BoundedRetryQueue({ apiKey: KEY, maxAttempts: 0 }), { message: /^maxAttempts: got 0/ })
})

test('a full queue and a duplicate id reject the task', async () => {
  const queue = new BoundedRetryQueue(3, 2, { apiKey: KEY })
  await queue.addTask('a', 'x')
  const duplicate = await failure(queue.addTask('a', 'y'))
  assert.equal(duplicate.code, 'INVALID_ARGUMENT')
  await queue.addTask('b', 'x')
  const full = await failure(queue.addTask('c', 'x'))
  assert.ok(full instanceof QueueFullError)
  assert.deepEqual([full.code, full.message], ['QUEUE_FULL', 'Queue is full, cannot add more tasks'])
  assert.equal(queue.size, 2)
})

test('a task that waits for its retry does not block the others', async (t) => {
  const clock = clockOf(t)
  // Not a 429: its `Retry-After` would pause every task.
  const { simulator, queue } = await setup(t, { concurrency: 1, retry: { baseDelayMs: 2000, jitter: 'none' } })
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

test('no more attempts run at once than the concurrency allows', async () => {
  let active = 0
  let peak = 0
  const client = {
    async chat() {
      peak = Math.max(peak, ++active)
      await new Promise(setImmediate)
      active--
      return { choices: [{ message: { content: 'ok' } }] }
    },
  }
  const queue = new BoundedRetryQueue({ client, concurrency: 3 })
  for (let i = 0; i < 100; i++) await queue.addTask(`${i}`, 'x')
  assert.equal((await all(queue.processWithRetry())).length, 100)
  assert.equal(peak, 3)
})

test('tasks wait while the circuit is open, and none is dropped', async (t) => {
  const { simulator, queue } = await setup(t, { circuitBreaker: { failureThreshold: 2, timeout: 150 }, concurrency: 4 })
  simulator.script({ status: 503 }, { status: 503 })
  for (let i = 0; i < 8; i++) await queue.addTask(`${i}`, 'x')
  const results = await all(queue.processWithRetry())
  assert.equal(results.filter(({ response }) => response === ANSWER).length, 8)
})

test('the next consumer takes over an unfinished task immediately', async (t) => {
  const { simulator, queue } = await setup(t, { concurrency: 2 })
  simulator.script({}, { hang: true })
  for (const id of ['a', 'b']) await queue.addTask(id, id)
  for await (const _ of queue.processWithRetry()) {
    // Both requests are in flight, so leaving aborts the one that hangs and not the one after it.
    await until(() => simulator.requests.length === 2, 'the second request')
    break
  }
  const [rest] = await all(queue.processWithRetry())
  assert.equal(rest.response, ANSWER)
  assert.equal(simulator.requests.length, 3)
})

test('tasks can be added while the queue is processed', async (t) => {
  const { queue } = await setup(t)
  await queue.addTask('first', 'x')
  const seen = []
  for await (const { taskId } of queue.processWithRetry()) {
    seen.push(taskId)
    if (seen.length < 3) await queue.addTask(`more ${seen.length}`, 'x')
  }
  assert.deepEqual(seen, ['first', 'more 1', 'more 2'])
})

test('finished results that one consumer leaves unread go to the next one without another request', async () => {
  const prompts = []
  const chat = async ({ messages }) => {
    prompts.push(messages[0].content)
    return { choices: [{ message: { content: 'done' } }] }
  }
  const queue = new BoundedRetryQueue({ client: { chat }, concurrency: 3 })
  for (const id of ['a', 'b', 'c']) await queue.addTask(id, id)
  const seen = []
  for await (const { taskId } of queue.processWithRetry()) {
    seen.push(taskId)
    // By now the other two are answered.
    await new Promise(setImmediate)
    break
  }
  assert.equal(queue.size, 2)
  for (const { taskId, response } of await all(queue.processWithRetry())) seen.push(taskId, response)
  assert.deepEqual(seen, ['a', 'b', 'done', 'c', 'done'])
  assert.deepEqual([prompts, queue.size], [['a', 'b', 'c'], 0])
})

test('leaving the loop or an abort stops the running tasks and leaves the unfinished ones in the queue', async (t) => {
  const { simulator, queue } = await setup(t, { concurrency: 3 })
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

test('a second consumer and invalid options are rejected', async (t) => {
  const { queue } = await setup(t, {}, { default: { hang: true } })
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
