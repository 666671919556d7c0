// One client under one workload, in a separate process: `node worker.mjs CLIENT WORKLOAD URL`, with the
// workload as JSON. Prints one line of JSON.
import { performance } from 'node:perf_hooks'
import { CLIENTS } from './clients/index.mjs'
import { age, clock, loopDelayP99, quantile, rssKb, STAMP } from './measure.mjs'
import { WARM_UP } from './workloads.mjs'

const [name, json, url] = process.argv.slice(2)
const work = JSON.parse(json)
const { module, open, countsBytes } = CLIENTS[name]
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
/** The age of one chunk in `SAMPLE` is read, because reading it costs time on the measured thread. */
const SAMPLE = 67
/** How long the streams of a workload may take to start. */
const START_TIMEOUT_MS = 60_000

/** The number of characters received, or of bytes. */
let received = 0
/** The size of a chunk in the same unit. */
let chunkSize = STAMP

async function warmUp(client) {
  const sizes = []
  for (const _ of WARM_UP) {
    const before = received
    await client.stream((delta) => {
      received += countsBytes ? delta : delta.length
    })
    sizes.push(received - before)
  }
  // The size of a chunk without the rest of a stream; for text it is the length of the stamp.
  chunkSize = (sizes[1] - sizes[0]) / (WARM_UP[1] - WARM_UP[0])
}

/** Starts the streams, spread evenly, and waits until each has received a chunk. */
async function start(client, inspect) {
  const startedAt = performance.now()
  let started = 0
  for (let index = 0; index < work.streams; index++) {
    const due = (work.staggerMs * index) / work.streams - (performance.now() - startedAt)
    if (due > 0) await sleep(due)
    let first = true
    const onDelta = (delta) => {
      if (first) {
        first = false
        started++
      }
      inspect(delta)
    }
    client.stream(onDelta).catch((error) => {
      console.error(error)
      process.exit(1)
    })
  }
  const deadline = performance.now() + START_TIMEOUT_MS
  while (started < work.streams && performance.now() < deadline) await sleep(20)
  return started
}

const kinds = {
  async idle() {
    return { loopP99: await loopDelayP99(work.loopMs) }
  },

  async burst(client) {
    const before = received
    const count = (delta) => {
      received += countsBytes ? delta : delta.length
    }
    const passed = clock()
    await Promise.all(Array.from({ length: work.streams }, () => client.stream(count)))
    const { main, process: cpu, wall } = passed()
    const chunks = work.streams * work.chunks
    const got = (received - before) / chunkSize
    // The bytes include heads and ends in addition to the chunks.
    if (countsBytes ? got < chunks : got !== chunks) throw new Error(`${got} of ${chunks} chunks arrived`)
    return {
      chunksPerSecond: (chunks / wall) * 1000,
      mainUsPerChunk: (main * 1000) / chunks,
      processUsPerChunk: (cpu * 1000) / chunks,
    }
  },

  async paced(client) {
    let ages = []
    let count = 0
    const startedStreams = await start(client, (delta) => {
      if (countsBytes) {
        received += delta
        return
      }
      received += delta.length
      if (++count === SAMPLE) {
        count = 0
        ages.push(age(delta))
      }
    })
    await sleep(work.settleMs)
    ages = []
    const before = received
    const passed = clock()
    await sleep(work.windowMs)
    const { main, process: cpu, wall } = passed()
    const chunks = (received - before) / chunkSize
    const sample = ages
    // In a separate window, because the monitor wakes the loop every millisecond.
    const loopP99 = await loopDelayP99(work.loopMs)
    return {
      startedStreams,
      chunksPerSecond: (chunks / wall) * 1000,
      mainCpu: (main / wall) * 100,
      processCpu: (cpu / wall) * 100,
      loopP99,
      latencyP50: quantile(sample, 0.5),
      latencyP99: quantile(sample, 0.99),
    }
  },

  async calls(client) {
    const first = []
    const call = []
    for (let index = 0; index < work.warmUp + work.calls; index++) {
      const streamStart = performance.now()
      let at
      await client.stream(() => {
        at ??= performance.now() - streamStart
      })
      const callStart = performance.now()
      await client.chat()
      if (index < work.warmUp) continue
      first.push(at)
      call.push(performance.now() - callStart)
    }
    return {
      firstP50: quantile(first, 0.5),
      firstP99: quantile(first, 0.99),
      callP50: quantile(call, 0.5),
      callP99: quantile(call, 0.99),
    }
  },

  async memory(client) {
    const before = rssKb()
    const startedStreams = await start(client, () => {})
    await sleep(work.settleMs)
    return { startedStreams, rssPerStreamKb: (rssKb() - before) / startedStreams }
  },

  async soak(client) {
    const half = async () => {
      let remaining = work.half
      const runStreams = async () => {
        while (remaining-- > 0) await client.stream(() => {})
      }
      await Promise.all(Array.from({ length: work.concurrency }, runStreams))
      await sleep(work.settleMs)
      return rssKb() / 1024
    }
    return { rssHalfMb: await half(), rssFullMb: await half() }
  },
}

const client = (await import(module.replace('./', './clients/')))[open]({ url })
if (work.kind !== 'idle') await warmUp(client)
const figures = await kinds[work.kind](client)
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0))
