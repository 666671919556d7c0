// How long a process with clients stays alive, and how it exits.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { run } from './support/child.mjs'

const clean = { code: 0, signal: null, stderr: '' }
const endOf = ({ code, signal, stderr }) => ({ code, signal, stderr })

describe('a process', { concurrency: 2 }, () => {
  test('with an idle client exits by itself', async () => {
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

  test('stays alive until the stream in flight ends', async () => {
    const ended = await run(`
      simulator.setDefault({ chunks: ['a', 'b', 'c'], chunkDelayMs: 60 })
      client.streamWithRetry(messages, (delta) => process.stdout.write(delta)).then(({ success }) => console.log(success))
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'abctrue\n')
  })

  test('stays alive during the backoff of a retry', async () => {
    const ended = await run(`
      simulator.script({ status: 429, retryAfterMs: 150 })
      client.chat({ messages }).then(({ choices }) => console.log(choices[0].message.content))
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'one two three\n')
  })

  test('exits by itself after every kind of fault', async () => {
    const ended = await run(`
      const cut = (how) => ({ chunks: ['a', 'b'], disconnect: { afterChunks: 1, how } })
      const faults = [
        { status: 500 }, { status: 401 }, { html: true }, { body: {} }, { headerBytes: 80000 },
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

  test('exits by itself after aborts and abandoned loops', async () => {
    const ended = await run(`
      simulator.setDefault({ chunks: ['a', 'b', 'c'], chunkDelayMs: 5000 })
      for await (const delta of client.stream({ messages }).textStream) break
      const stream = client.stream({ messages })
      setTimeout(() => stream.abort(), 20)
      await stream.text().catch(({ name }) => console.log(name))
      await client.chat({ messages }, { signal: AbortSignal.timeout(20) }).catch(({ name }) => console.log(name))
    `)
    assert.deepEqual(endOf(ended), clean)
    assert.equal(ended.stdout, 'AbortError\nTimeoutError\n')
  })

  test('that exits mid-stream returns its exit code', async () => {
    const ended = await run(`
      simulator.setDefault({ text: 'x'.repeat(5000), chunkChars: 1 })
      for (let i = 0; i < 20; i++) client.streamWithRetry(messages, () => process.exit(7))
    `)
    assert.deepEqual(endOf(ended), { code: 7, signal: null, stderr: '' })
  })

  test('whose user code throws mid-stream exits with code 1', async () => {
    const ended = await run(`
      simulator.setDefault({ chunks: ['a', 'b'], chunkDelayMs: 5000 })
      client.streamWithRetry(messages, () => setImmediate(() => { throw new Error('mine') }))
    `)
    assert.equal(ended.code, 1)
    assert.match(ended.stderr, /Error: mine/)
  })

  test('is terminated by SIGINT mid-stream', { skip: process.platform === 'win32' }, async () => {
    const onOutput = (child, { stdout }) => {
      if (stdout.includes('began')) child.kill('SIGINT')
    }
    const script = `
      simulator.setDefault({ chunks: ['a', 'b'], chunkDelayMs: 60000 })
      client.streamWithRetry(messages, () => console.log('began'))
    `
    const ended = await run(script, { onOutput })
    assert.deepEqual([ended.code, ended.signal], [null, 'SIGINT'])
    // A handler of the application takes precedence.
    const handled = await run(`process.on('SIGINT', () => client.close().then(() => process.exit(3)))\n${script}`, {
      onOutput,
    })
    assert.deepEqual([handled.code, handled.signal], [3, null])
  })

  test('can start and exit mid-stream many times in a row', async () => {
    for (let i = 0; i < 20; i++) {
      const ended = await run(`
        simulator.setDefault({ text: 'x'.repeat(100), chunkChars: 1, chunkDelayMs: 1 })
        for (let i = 0; i < 5; i++) client.chat({ messages }).catch(() => {})
        let deltas = 0
        client.streamWithRetry(messages, () => { if (++deltas === 3 && ${i} % 2) process.exit(0) })
      `)
      assert.deepEqual(endOf(ended), clean, `start ${i}`)
    }
  })

  test('survives twenty workers that are terminated mid-stream', async () => {
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

test('a simulator runs until it is closed, also if only its URL is kept', async () => {
  const ended = await run(
    `
    const { url } = await startSimulator({ default: { chunks: ['still here'] } })
    for (let round = 0; round < 20; round++) {
      gc()
      await new Promise((resolve) => setImmediate(resolve))
    }
    const other = new HolySheepStreamingClient('sk-test', { baseUrl: url, maxRetries: 0 })
    console.log((await other.chat({ messages })).choices[0].message.content)
  `,
    { flags: ['--expose-gc'] },
  )
  assert.deepEqual([ended.code, ended.stderr, ended.stdout], [0, '', 'still here\n'])
})
