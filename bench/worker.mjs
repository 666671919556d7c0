// One client under one workload, in a process of its own: `node worker.mjs CLIENT WORKLOAD URL`, the
// workload as JSON. Prints one line of JSON.
import { performance } from 'node:perf_hooks'
import { CLIENTS } from './clients/index.mjs'
import { age, clock, loopDelayP99, quantile, rssKb, STAMP } from './measure.mjs'
import { WARM_UP } from './workloads.mjs'

const [name, json, url] = process.argv.slice(2)
const work = JSON.parse(json)
const { module, open, countsBytes } = CLIENTS[name]
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
/** One chunk in so many is looked at for its age: to look costs the thread that is measured. */
const SAMPLE = 67
/** How long the streams of a workload may take to begin. */
const BEGIN_MS = 60_000

/** Counts characters, or bytes. */
let received = 0
/** How much of that makes a chunk. */
let pieceSize = STAMP

async function warmUp(client) {
  const sizes = []
  for (const _ of WARM_UP) {
    const before = received
    await client.stream((piece) => {
      received += countsBytes ? piece : piece.length
    })
    sizes.push(received - before)
  }
  // The size of a chunk, free of what else a stream has; for text it is the stamp's length.
  pieceSize = (sizes[1] - sizes[0]) / (WARM_UP[1] - WARM_UP[0])
}

/** Starts the streams, spread evenly, and returns when each has had a chunk. */
async function start(client, look) {
  const began = performance.now()
  let begun = 0
  for (let index = 0; index < work.streams; index++) {
    const due = (work.staggerMs * index) / work.streams - (performance.now() - began)
    if (due > 0) await sleep(due)
    let first = true
    const onPiece = (piece) => {
      if (first) {
        first = false
        begun++
      }
      look(piece)
    }
    client.stream(onPiece).catch((error) => {
      console.error(error)
      process.exit(1)
    })
  }
  const late = performance.now() + BEGIN_MS
  while (begun < work.streams && performance.now() < late) await sleep(20)
  return begun
}

const kinds = {
  async idle() {
    return { loopP99: await loopDelayP99(work.loopMs) }
  },

  async burst(client) {
    const before = received
    const count = (piece) => {
      received += countsBytes ? piece : piece.length
    }
    const passed = clock()
    await Promise.all(Array.from({ length: work.streams }, () => client.stream(count)))
    const { main, process: cpu, wall } = passed()
    const pieces = work.streams * work.pieces
    const got = (received - before) / pieceSize
    // Bytes have heads and ends besides the chunks.
    if (countsBytes ? got < pieces : got !== pieces) throw new Error(`${got} of ${pieces} chunks came`)
    return {
      piecesPerSecond: (pieces / wall) * 1000,
      mainUsPerPiece: (main * 1000) / pieces,
      processUsPerPiece: (cpu * 1000) / pieces,
    }
  },

  async paced(client) {
    let ages = []
    let turn = 0
    const begun = await start(client, (piece) => {
      if (countsBytes) {
        received += piece
        return
      }
      received += piece.length
      if (++turn === SAMPLE) {
        turn = 0
        ages.push(age(piece))
      }
    })
    await sleep(work.settleMs)
    ages = []
    const before = received
    const passed = clock()
    await sleep(work.windowMs)
    const { main, process: cpu, wall } = passed()
    const pieces = (received - before) / pieceSize
    const seen = ages
    // In a window of its own: the monitor wakes the loop once a millisecond.
    const loopP99 = await loopDelayP99(work.loopMs)
    return {
      begun,
      piecesPerSecond: (pieces / wall) * 1000,
      mainCpu: (main / wall) * 100,
      processCpu: (cpu / wall) * 100,
      loopP99,
      latencyP50: quantile(seen, 0.5),
      latencyP99: quantile(seen, 0.99),
    }
  },

  async calls(client) {
    const first = []
    const whole = []
    for (let index = 0; index < work.warmUp + work.calls; index++) {
      const began = performance.now()
      let at
      await client.stream(() => {
        at ??= performance.now() - began
      })
      const begun = performance.now()
      await client.whole()
      if (index < work.warmUp) continue
      first.push(at)
      whole.push(performance.now() - begun)
    }
    return {
      firstP50: quantile(first, 0.5),
      firstP99: quantile(first, 0.99),
      wholeP50: quantile(whole, 0.5),
      wholeP99: quantile(whole, 0.99),
    }
  },

  async memory(client) {
    const before = rssKb()
    const begun = await start(client, () => {})
    await sleep(work.settleMs)
    return { begun, rssPerStreamKb: (rssKb() - before) / begun }
  },

  async lasting(client) {
    const half = async () => {
      let left = work.half
      const lane = async () => {
        while (left-- > 0) await client.stream(() => {})
      }
      await Promise.all(Array.from({ length: work.concurrency }, lane))
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
