// How the client behaves under load: `node bench/storms.mjs [STORM...] [--json]`. Every storm is a separate process, against
// a simulator in another one. It measures the addon in `native/`.
import { execFile, spawn } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { age, quantile } from './measure.mjs'

const HELP = `node bench/storms.mjs [options] [STORM...]

  aborts     for 5 s, 512 calls are started and aborted 1-20 ms later, beside one paced stream: the age of its deltas
             compared with a control run without calls
  failures   2000 open calls fail at once: how long until the last one is told
  busy       16 streams and one stream while other work takes 10 ms of each round of the event loop: MB/s
  paused     1000 streams that their readers stop reading: resident memory while they are paused and after they end
  burst      1000 calls at once in a fresh process: threads, memory, time until all are answered

  --json     one line of JSON for each storm
`
const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const MESSAGES = [{ role: 'user', content: 'Say something.' }]
const REQUEST = { messages: MESSAGES }
const round = (value) => Math.round(value * 10) / 10

const rssMb = () => round(process.memoryUsage.rss() / 2 ** 20)
/** The threads of this process, and its open sockets. Only on Linux. */
const threads = () => readdirSync('/proc/self/task').length
const sockets = () => {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return targets.filter((target) => target.startsWith('socket:')).length
}

const spin = (ms) => {
  for (const end = performance.now() + ms; performance.now() < end; );
}

const storms = {
  async aborts(open) {
    const DURATION_MS = 5000
    let ages = []
    const stop = new AbortController()
    const paced = open({ repeat: 1e6, stamp: true, chunkDelayMs: 5 })
    const reading = paced.streamWithRetry(MESSAGES, (delta) => ages.push(age(delta)), null, { signal: stop.signal })
    const others = open({ repeat: 1e6, stamp: true, chunkDelayMs: 5 })
    await sleep(500)
    ages = []
    await sleep(DURATION_MS)
    const control = ages
    ages = []
    const end = performance.now() + DURATION_MS
    let started = 0
    let told = 0
    // How long the program itself occupies the event loop: it starts and aborts calls synchronously.
    let longestMs = 0
    const timed = (work) => {
      const from = performance.now()
      work()
      longestMs = Math.max(longestMs, performance.now() - from)
    }
    let seed = 1
    while (performance.now() < end) {
      const controllers = []
      timed(() => {
        for (let i = 0; i < 512; i++) {
          const controller = new AbortController()
          controllers.push(controller)
          others.streamWithRetry(MESSAGES, () => {}, null, { signal: controller.signal }).then(() => told++)
        }
      })
      started += 512
      seed = (seed * 16807) % 2147483647
      await sleep(1 + (seed % 20))
      timed(() => {
        for (const controller of controllers) controller.abort()
      })
    }
    const storm = ages
    ages = []
    await sleep(3000)
    const after = ages
    stop.abort()
    await reading
    const worst = (list) => round(Math.max(...list))
    return {
      aborted: started,
      told,
      controlWorstMs: worst(control),
      stormP50Ms: round(quantile(storm, 0.5)),
      stormP99Ms: round(quantile(storm, 0.99)),
      stormWorstMs: worst(storm),
      afterWorstMs: worst(after),
      deltas: storm.length,
      longestOwnWorkMs: round(longestMs),
      rssMb: rssMb(),
    }
  },

  async failures(open) {
    const COUNT = 2000
    const figures = {}
    /** Starts calls, and measures from `fail` until each of them is told. */
    const measure = async (name, client, fail, start) => {
      const at = []
      let first = 0
      const calls = Array.from({ length: COUNT }, () => start(client).catch(() => at.push(performance.now())))
      await sleep(1500)
      const from = performance.now()
      fail(client)
      let longest = 0
      let last = performance.now()
      let done = false
      const check = () => {
        const now = performance.now()
        longest = Math.max(longest, now - last)
        last = now
        if (!done) setImmediate(check)
      }
      setImmediate(check)
      await Promise.all(calls)
      done = true
      first = at[0] - from
      figures[`${name}FirstMs`] = round(first)
      figures[`${name}LastMs`] = round(at.at(-1) - from)
      figures[`${name}LongestRoundMs`] = round(longest)
    }
    const drain = async (stream) => {
      for await (const _ of stream.textStream);
    }
    const streams = open({ repeat: 1e6, stamp: true, chunkDelayMs: 60_000 })
    await measure(
      'streams',
      streams,
      () => streams.close(),
      (client) => drain(client.stream(REQUEST)),
    )
    const hanging = open({ hang: true }, { totalTimeoutMs: 3000 })
    await measure(
      'deadlines',
      hanging,
      () => spin(2500),
      (client) => client.chat(REQUEST),
    )
    return figures
  },

  async busy(open) {
    const run = async (streams, workMs) => {
      const client = open({ repeat: 1e7, stamp: true })
      const stop = new AbortController()
      let bytes = 0
      let done = false
      const work = () => {
        if (workMs > 0) spin(workMs)
        if (!done) setTimeout(work, 0)
      }
      const count = (delta) => {
        bytes += delta.length
      }
      const calls = Array.from({ length: streams }, () =>
        client.streamWithRetry(MESSAGES, count, null, { signal: stop.signal }),
      )
      await sleep(500)
      work()
      await sleep(500)
      const [before, from] = [bytes, performance.now()]
      await sleep(3000)
      const rate = (bytes - before) / (performance.now() - from) / 1000
      done = true
      stop.abort()
      await Promise.all(calls)
      await client.close()
      return Math.round(rate * 100) / 100
    }
    return {
      idle1MBs: await run(1, 0),
      busy1MBs: await run(1, 10),
      idle16MBs: await run(16, 0),
      busy16MBs: await run(16, 10),
    }
  },

  async paused(open) {
    const figures = { beforeMb: rssMb(), beforeThreads: threads() }
    const client = open({ repeat: 1e6, chunks: ['x'.repeat(1500)] })
    const readers = []
    for (let i = 0; i < 1000; i++) {
      const iterator = client.stream(REQUEST).textStream[Symbol.asyncIterator]()
      readers.push(iterator.next().then(() => iterator))
      if (i % 50 === 49) await sleep(20)
    }
    const iterators = await Promise.all(readers)
    await sleep(10_000)
    figures.pausedMb = rssMb()
    figures.pausedKbEach = Math.round(((figures.pausedMb - figures.beforeMb) * 1024) / 1000)
    await Promise.all(iterators.map((iterator) => iterator.return()))
    iterators.length = 0
    readers.length = 0
    for (const seconds of [2, 10, 30]) {
      await sleep(1000 * (seconds - (figures.waited ?? 0)))
      figures.waited = seconds
      globalThis.gc?.()
      figures[`after${seconds}sMb`] = rssMb()
    }
    figures.sockets = sockets()
    await client.close()
    await sleep(500)
    figures.socketsAfterClose = sockets()
    delete figures.waited
    return figures
  },

  async burst(open) {
    const figures = { beforeMb: rssMb(), beforeThreads: threads() }
    let most = 0
    const timer = setInterval(() => {
      most = Math.max(most, threads())
    }, 2)
    const client = open({ text: 'one two three' }, {}, 'localhost')
    const from = performance.now()
    const answers = Array.from({ length: 1000 }, () => client.chat(REQUEST))
    await Promise.all(answers)
    figures.allAnsweredMs = Math.round(performance.now() - from)
    await sleep(200)
    clearInterval(timer)
    figures.mostThreads = Math.max(most, threads())
    figures.afterMb = rssMb()
    figures.sockets = sockets()
    await client.close()
    await sleep(500)
    figures.socketsAfterClose = sockets()
    figures.afterCloseMb = rssMb()
    return figures
  },
}

/** The worker: runs one storm and prints its figures. */
async function worker(name, url) {
  const { HolySheepStreamingClient } = await import('../index.mjs')
  const open = (scenario, options = {}, host) =>
    new HolySheepStreamingClient('bench', {
      endpoints: [
        {
          baseUrl: host ? url.replace('127.0.0.1', host) : url,
          headers: { 'x-simulate': JSON.stringify(scenario) },
        },
      ],
      maxRetries: 0,
      circuitBreaker: false,
      ...options,
    })
  console.log(JSON.stringify(await storms[name](open)))
  process.exit(0)
}

async function simulator() {
  const child = spawn(process.execPath, [here('../bin/holysheep.js'), 'simulate'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => resolve(/listening on (\S+)/.exec(data)?.[1]))
    child.on('exit', () => reject(new Error('the simulator did not start')))
  })
  return { url, stop: () => child.kill('SIGKILL') }
}

async function run(name) {
  const server = await simulator()
  try {
    const args = ['--expose-gc', here('storms.mjs'), '--worker', name, server.url]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 300_000, killSignal: 'SIGKILL' })
    return JSON.parse(stdout.trim().split('\n').at(-1))
  } finally {
    server.stop()
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { worker: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
})
if (values.help) {
  process.stdout.write(HELP)
} else if (values.worker) {
  await worker(values.worker, positionals[0])
} else {
  const unknown = positionals.find((name) => !Object.hasOwn(storms, name))
  if (unknown !== undefined) throw new Error(`got '${unknown}'; accepted: ${Object.keys(storms).join(', ')}`)
  for (const name of positionals.length > 0 ? positionals : Object.keys(storms)) {
    const figures = await run(name)
    if (values.json) console.log(JSON.stringify({ storm: name, ...figures }))
    else {
      console.log(name)
      console.table(figures)
    }
  }
}
