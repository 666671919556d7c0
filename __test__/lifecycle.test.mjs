// Processes of their own: how they live, and how they end.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { run } from './support/child.mjs'

const clean = { code: 0, signal: null, stderr: '' }
const endOf = ({ code, signal, stderr }) => ({ code, signal, stderr })

describe('a process', { concurrency: 2 }, () => {
  test('with an idle client ends by itself', async () => {
    const ended = await run(`
      await client.chat({ messages })
      new HolySheepStreamingClient('sk-test')
      new holysheep.RateLimitedClient('sk-test')
      new holysheep.CircuitBreaker()
      console.log('idle')
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'idle\n')
  })

  test('lives until the stream in flight is done', async () => {
    const ended = await run(`
      simulator.setDefault({ chunks: ['a', 'b', 'c'], chunkDelayMs: 60 })
      client.streamWithRetry(messages, (piece) => process.stdout.write(piece)).then(({ success }) => console.log(success))
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'abctrue\n')
  })

  test('lives until a retry has come through its backoff', async () => {
    const ended = await run(`
      simulator.script({ status: 429, retryAfterMs: 150 })
      client.chat({ messages }).then(({ choices }) => console.log(choices[0].message.content))
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'one two three\n')
  })

  test('ends by itself after every kind of fault', async () => {
    const ended = await run(`
      const cut = (how) => ({ chunks: ['a', 'b'], disconnect: { afterChunks: 1, how } })
      const faults = [
        { status: 500 }, { status: 401 }, { html: true }, { jsonInstead: true }, { headerBytes: 80000 },
        { connectReset: true }, { closeBeforeHeaders: true }, { hang: true }, { finish: false },
        ...['reset', 'close', 'stall', 'errorEvent', 'malformed', 'done', 'noFinish'].map(cut),
      ]
      const options = { maxRetries: 1, firstTokenTimeoutMs: 100, idleTimeoutMs: 60 }
      let failed = 0
      for (const fault of faults) {
        simulator.setDefault(fault)
        const stream = client.stream({ messages }, options)
        try { for await (const chunk of stream); } catch { failed++ }
        client.stream({ messages }, options)
        await client.chat({ messages }, options).catch(() => {})
        await client.streamWithRetry(messages, null, null, options)
      }
      console.log(failed === faults.length)
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'true\n')
  })

  test('ends by itself after aborts, and after loops that were left', async () => {
    const ended = await run(`
      simulator.setDefault({ chunks: ['a', 'b', 'c'], chunkDelayMs: 5000 })
      for await (const piece of client.stream({ messages }).textStream) break
      const stream = client.stream({ messages })
      setTimeout(() => stream.abort(), 20)
      await stream.text().catch(({ name }) => console.log(name))
      await client.chat({ messages }, { signal: AbortSignal.timeout(20) }).catch(({ name }) => console.log(name))
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'AbortError\nTimeoutError\n')
  })

  test('that exits in mid-stream gives its code', async () => {
    const ended = await run(`
      simulator.setDefault({ text: 'x'.repeat(5000), chunkChars: 1 })
      for (let i = 0; i < 20; i++) client.streamWithRetry(messages, () => process.exit(7))
    `)
    assert.deepEqual(endOf(ended), { code: 7, signal: null, stderr: '' })
  })

  test('in which user code throws in mid-stream ends with code 1', async () => {
    const ended = await run(`
      simulator.setDefault({ chunks: ['a', 'b'], chunkDelayMs: 5000 })
      client.streamWithRetry(messages, () => setImmediate(() => { throw new Error('mine') }))
    `)
    assert.equal(ended.code, 1)
    assert.match(ended.stderr, /Error: mine/)
  })

  test('is ended by SIGINT in mid-stream', { skip: process.platform === 'win32' }, async () => {
    const onOutput = (child, { stdout }) => {
      if (stdout.includes('began')) child.kill('SIGINT')
    }
    const script = `
      simulator.setDefault({ chunks: ['a', 'b'], chunkDelayMs: 60000 })
      client.streamWithRetry(messages, () => console.log('began'))
    `
    const ended = await run(script, { onOutput })
    assert.deepEqual([ended.code, ended.signal], [null, 'SIGINT'])
    // A handler of the application's own decides.
    const handled = await run(`process.on('SIGINT', () => client.close().then(() => process.exit(3)))\n${script}`, {
      onOutput,
    })
    assert.deepEqual([handled.code, handled.signal], [3, null])
  })

  test('can be started and ended again and again in mid-stream', async () => {
    for (let i = 0; i < 20; i++) {
      const ended = await run(`
        simulator.setDefault({ text: 'x'.repeat(100), chunkChars: 1, chunkDelayMs: 1 })
        for (let i = 0; i < 5; i++) client.chat({ messages }).catch(() => {})
        let pieces = 0
        client.streamWithRetry(messages, () => { if (++pieces === 3 && ${i} % 2) process.exit(0) })
      `)
      assert.deepEqual(endOf(ended), clean, `start ${i}`)
    }
  })

  test('survives twenty workers that are terminated in mid-stream', async () => {
    const ended = await run(`
      import { Worker } from 'node:worker_threads'
      simulator.setDefault({ text: 'x'.repeat(20000), chunkChars: 1 })
      const start = (streams) =>
        new Worker('./__test__/support/worker.cjs', { workerData: { url: simulator.url, streams } })
      const workers = Array.from({ length: 20 }, () => start(20))
      await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
        worker.once('message', () => worker.terminate().then(resolve, reject))
        worker.once('error', reject)
      })))
      simulator.setDefault({ chunks: ['still ', 'here'] })
      console.log((await client.chat({ messages })).choices[0].message.content)
      const last = start(0)
      await new Promise((resolve) => last.once('exit', resolve))
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'still here\nstill here\n')
  })
})
