// A process that is frozen (SIGSTOP; a function between two invocations) and wakes up with expired timers.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { node } from './support/child.mjs'
import { sleep } from './support/provider.mjs'

const chunk = (delta, finish = null) =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
/** The limits are long enough for a busy machine, and the process is frozen for longer. */
const [LIMIT_MS, FROZEN_MS] = [2000, 3000]
const skip = process.platform === 'win32' && 'no SIGSTOP'

/** Freezes the client while the server sends, and longer than its limit. Returns what the client printed. */
async function freeze(t, { first, options }) {
  let child
  const server = createServer((request, response) => {
    request.resume().on('end', async () => {
      if (first) {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(chunk({ role: 'assistant', content: 'one ' }))
        await begun
      }
      child.kill('SIGSTOP')
      await sleep(FROZEN_MS)
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ content: 'two' }))
      // It waits in the client's socket.
      await new Promise((resolve) => response.end(`${chunk({}, 'stop')}data: [DONE]\n\n`, resolve))
      child.kill('SIGCONT')
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  let begin
  const begun = new Promise((resolve) => {
    begin = resolve
  })
  const script = `
    import { HolySheepStreamingClient } from './index.mjs'
    const baseUrl = 'http://127.0.0.1:${server.address().port}/v1'
    const client = new HolySheepStreamingClient('sk-test', { baseUrl, maxRetries: 0, recovery: false, ...${JSON.stringify(options)} })
    try {
      console.log('started')
      for await (const { choices } of client.stream({ messages: [{ role: 'user', content: 'x' }] })) {
        if (choices[0]?.delta.content) console.log(choices[0].delta.content)
      }
    } catch (error) { console.log(error.code, error.phase) }`
  const { stdout } = await node(['--input-type=module', '-e', script], {
    onOutput(process, output) {
      child = process
      if (output.stdout.includes('one')) begin()
    },
  })
  return stdout.trim().split('\n')
}

test('what arrived while the process was frozen is read before the idle timeout applies', { skip }, async (t) => {
  const output = await freeze(t, { first: true, options: { idleTimeoutMs: LIMIT_MS } })
  assert.deepEqual(output, ['started', 'one ', 'two'])
})

test('what arrived while the process was frozen is read before the first-token timeout applies', {
  skip,
}, async (t) => {
  const output = await freeze(t, { first: false, options: { firstTokenTimeoutMs: LIMIT_MS } })
  assert.deepEqual(output, ['started', 'two'])
})

test('a total timeout applies to a process that was frozen', { skip }, async (t) => {
  const output = await freeze(t, { first: true, options: { totalTimeoutMs: LIMIT_MS } })
  assert.equal(output.at(-1), 'TIMEOUT total')
})

test('many streams of a frozen process are all read before the idle timeout applies', { skip }, async (t) => {
  const COUNT = 100
  const responses = []
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(chunk({ role: 'assistant', content: 'one ' }))
      responses.push(response)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  // No stream is idle before the process is frozen, however long it takes to start all of them.
  const pings = setInterval(() => {
    for (const response of responses) response.write(': ping\n\n')
  }, 100)
  t.after(() => clearInterval(pings))
  let frozen
  const script = `
    import { HolySheepStreamingClient } from './index.mjs'
    const baseUrl = 'http://127.0.0.1:${server.address().port}/v1'
    const client = new HolySheepStreamingClient('sk-test', { baseUrl, maxRetries: 0, recovery: false, idleTimeoutMs: ${LIMIT_MS} })
    let begun = 0
    const read = async () => {
      let text = ''
      for await (const delta of client.stream({ messages: [{ role: 'user', content: 'x' }] }).textStream) {
        if (text === '' && ++begun === ${COUNT}) console.log('begun')
        text += delta
      }
      return text
    }
    const results = await Promise.allSettled(Array.from({ length: ${COUNT} }, read))
    console.log(JSON.stringify(results.map(({ value, reason }) => value ?? reason.code)))`
  const { stdout } = await node(['--input-type=module', '-e', script], {
    onOutput(child, { stdout }) {
      if (!stdout.includes('begun')) return
      frozen ??= (async () => {
        child.kill('SIGSTOP')
        clearInterval(pings)
        await sleep(FROZEN_MS)
        const ended = responses.map(
          (response) =>
            new Promise((resolve) =>
              response.end(`${chunk({ content: 'two' })}${chunk({}, 'stop')}data: [DONE]\n\n`, resolve),
            ),
        )
        await Promise.all(ended)
        child.kill('SIGCONT')
      })()
    },
  })
  await frozen
  assert.deepEqual(JSON.parse(stdout.trim().split('\n').at(-1)), Array(COUNT).fill('one two'))
})
