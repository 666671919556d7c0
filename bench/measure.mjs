// Measurements that a client's process takes of itself.
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'

/** The length of a stamped chunk: nine digits and a space. */
export const STAMP = 10
const WRAP = 1e9

/** The age of a stamped chunk in milliseconds, or NaN without a stamp. */
export function age(delta) {
  const now = ((performance.timeOrigin + performance.now()) * 1000) % WRAP
  const age = (now - Number(delta.slice(0, STAMP - 1)) + WRAP) % WRAP
  // The two clocks can differ by microseconds.
  return age > WRAP / 2 ? 0 : age / 1000
}

/** CPU time of the calling thread in milliseconds. On Linux, schedstat has nanoseconds on every version of Node. */
function threadCpuMs() {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1e6
  } catch {
    if (!process.threadCpuUsage) return Number.NaN
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  }
}

function processCpuMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Starts a measurement; the returned function returns the time since then, in milliseconds. */
export function clock() {
  const [main, cpu, wall] = [threadCpuMs(), processCpuMs(), performance.now()]
  return () => ({ main: threadCpuMs() - main, process: processCpuMs() - cpu, wall: performance.now() - wall })
}

export function quantile(values, share) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]
}

/** The 99th percentile of the event loop's delay over `ms` milliseconds. It includes the millisecond of the timer. */
export async function loopDelayP99(ms) {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  const start = performance.now()
  histogram.enable()
  await new Promise((resolve) => setTimeout(resolve, ms))
  histogram.disable()
  const elapsed = performance.now() - start
  const recorded = (histogram.count * histogram.mean) / 1e6
  // A loop that hardly ran the monitor's timer was late throughout.
  return recorded >= elapsed / 2 ? histogram.percentile(99) / 1e6 : elapsed
}

/** Resident memory in KiB, after a garbage collection if `--expose-gc` is set. */
export function rssKb() {
  globalThis.gc?.()
  return process.memoryUsage.rss() / 1024
}
