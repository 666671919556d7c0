// What is asked of every client. `scenario` is what the simulator answers; the rest is read by
// `worker.mjs` and by the Rust program in `ceiling/`.

/** Two short answers, by which a client warms up and a client that counts bytes learns a chunk's size. */
export const WARM_UP = [100, 200]

const stamped = (repeat, more = {}) => ({ repeat, stamp: true, ...more })

/** Streams that last through start, settling and both windows, and some more. */
function paced(streams, chunkDelayMs, staggerMs, settleMs, windowMs, loopMs) {
  const life = 3 * (staggerMs + settleMs + windowMs + loopMs) + 60_000
  const scenario = stamped(Math.ceil(life / chunkDelayMs), { chunkDelayMs })
  return { kind: 'paced', streams, chunkDelayMs, staggerMs, settleMs, windowMs, loopMs, scenario }
}

export function workloads({ quick }) {
  const pick = (full, short) => (quick ? short : full)
  return {
    idle: { kind: 'idle', loopMs: pick(5000, 1000), scenario: {} },
    W1: {
      kind: 'burst',
      streams: 16,
      pieces: pick(20_000, 4000),
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
      kind: 'lasting',
      half: pick(50_000, 5000),
      concurrency: 64,
      settleMs: 1000,
      // A fixed size: V8 doubles its young generation under load and does not give it back, by 30 MB a
      // step, which would hide what a client loses.
      flags: ['--min-semi-space-size=16', '--max-semi-space-size=16'],
      scenario: stamped(4),
    },
  }
}

/** Every client delivers every chunk: the check that a CI can run. */
export const SMOKE = { kind: 'burst', streams: 4, pieces: 50, scenario: stamped(50) }
