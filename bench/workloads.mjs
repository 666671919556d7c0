// The workloads of every client. `scenario` is the simulator's; `worker.mjs` and the Rust program in
// `ceiling/` read the rest.

/** Two short answers that warm up a client and give the size of a chunk to a client that counts bytes. */
export const WARM_UP = [100, 200]

const stamped = (repeat, more = {}) => ({ repeat, stamp: true, ...more })

/** Streams that outlast the start, the settling and both windows. */
function paced(streams, chunkDelayMs, staggerMs, settleMs, windowMs, loopMs) {
  const lifetime = 3 * (staggerMs + settleMs + windowMs + loopMs) + 60_000
  const scenario = stamped(Math.ceil(lifetime / chunkDelayMs), { chunkDelayMs })
  return { kind: 'paced', streams, chunkDelayMs, staggerMs, settleMs, windowMs, loopMs, scenario }
}

export function workloads({ quick }) {
  const pick = (full, short) => (quick ? short : full)
  return {
    idle: { kind: 'idle', loopMs: pick(5000, 1000), scenario: {} },
    W1: {
      kind: 'burst',
      streams: 16,
      chunks: pick(20_000, 4000),
      scenario: stamped(pick(20_000, 4000)),
    },
    W2: paced(1000, 20, 2000, 1000, pick(10_000, 2000), pick(5000, 1000)),
    W2b: paced(10_000, 1000, pick(10_000, 5000), 2000, pick(10_000, 3000), pick(5000, 1000)),
    W3: { kind: 'calls', calls: pick(1000, 200), warmUp: pick(200, 50), scenario: stamped(8) },
    W4: {
      kind: 'memory',
      streams: 1000,
      staggerMs: 1000,
      settleMs: 2000,
      scenario: stamped(1000, { chunkDelayMs: 500 }),
    },
    W4b: {
      kind: 'soak',
      half: pick(50_000, 5000),
      concurrency: 64,
      settleMs: 1000,
      // A fixed size, because V8 doubles its young generation under load in steps of 30 MB and does not shrink it,
      // which would hide a leak of the client.
      flags: ['--min-semi-space-size=16', '--max-semi-space-size=16'],
      scenario: stamped(4),
    },
  }
}

/** Checks that every client delivers every chunk, for CI. */
export const SMOKE = { kind: 'burst', streams: 4, chunks: 50, scenario: stamped(50) }
