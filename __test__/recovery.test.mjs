// Recovery of interrupted streams: random faults, and what the result reports about them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolySheepStreamingClient, StreamInterruptedError } from 'holysheep'
import { startSimulator } from 'holysheep/simulator'
import { chaos } from '../scripts/chaos.mjs'
import { clockOf } from './support/provider.mjs'

test('random faults, continuation styles and routes: every answer arrives byte for byte', async (t) => {
  const { count, failures } = await chaos(200, 1, 16, clockOf(t, { settleMs: 20 }))
  assert.equal(count, 200)
  assert.deepEqual(failures, [], 'replay one with: npm run chaos -- --seed SEED')
})

test('an answer cut in the middle of a Vietnamese word is delivered without a visible join', async () => {
  const text = 'Một dòng suối nghiêng mình qua thung lũng. 🐑'
  const simulator = await startSimulator({ answer: text, default: { onContinue: 'word' } })
  const cut = Buffer.byteLength('Một dòng suối ngh')
  simulator.script({ chunks: [text.slice(0, 17), text.slice(17)], disconnect: { afterChunks: 1, how: 'reset' } })
  const client = new HolySheepStreamingClient('key', {
    baseUrl: simulator.url,
    retry: { baseDelayMs: 1 },
  })
  const stream = client.stream({ messages: [{ role: 'user', content: 'Hi' }] })
  let delivered = ''
  for await (const delta of stream.textStream) delivered += delta
  assert.equal(delivered, text)
  const { recoveries, joins, segments } = await stream.result
  assert.deepEqual([recoveries, joins[0].kind, segments.length], [1, 'word', 2])
  assert.equal(simulator.requests.length, 2)
  assert.equal(simulator.requests[1].json.messages[1].content, Buffer.from(text).subarray(0, cut).toString())
  await simulator.close()
})

test('restart mode calls onRestart to discard the text shown, and starts over', async () => {
  const simulator = await startSimulator({ answer: 'Xin chào' })
  simulator.script({ chunks: ['Xin ', 'chào'], disconnect: { afterChunks: 1, how: 'close' } })
  const client = new HolySheepStreamingClient('key', { baseUrl: simulator.url, retry: { baseDelayMs: 1 } })
  let shown = ''
  const recovery = {
    mode: 'restart',
    onRestart() {
      shown = '[again]'
    },
  }
  const messages = [{ role: 'user', content: 'Hi' }]
  const show = (delta) => {
    shown += delta
  }
  const outcome = await client.streamWithRetry(messages, show, null, { recovery })
  assert.deepEqual([outcome.success, shown], [true, '[again]Xin chào'])
  assert.deepEqual(simulator.requests[1].json.messages, messages)
  const silent = { recovery: { mode: 'restart' } }
  assert.throws(() => client.stream({ messages }, silent), { code: 'INVALID_ARGUMENT', message: /onRestart/ })
  await simulator.close()
})

test('without recovery an interruption is an error with exactly the text received', async () => {
  const simulator = await startSimulator({ default: { chunks: ['a ', 'b ', 'c'], disconnect: { afterChunks: 2 } } })
  const client = new HolySheepStreamingClient('key', { baseUrl: simulator.url, recovery: false })
  const stream = client.stream({ messages: [{ role: 'user', content: 'Hi' }] })
  await assert.rejects(async () => {
    for await (const delta of stream.textStream) assert.ok(delta)
  }, StreamInterruptedError)
  await assert.rejects(stream.result, { partial: 'a b ', code: 'STREAM_INTERRUPTED' })
  assert.equal(simulator.requests.length, 1)
  await simulator.close()
})
