// The targets of holysheep, as ratios within one run, so that the speed and the noise of the machine cancel out.

const of = (client, figure) => ({ client, figure })

/** `value` divided by `base` (with `minus`: less `base`) must be at most `max`, or at least `min`. */
const TARGETS = {
  W2: [
    { name: 'main-thread CPU / undici bytes', value: 'mainCpu', base: of('undici-bytes', 'mainCpu'), max: 1 / 20 },
    { name: 'main-thread CPU / openai', value: 'mainCpu', base: of('openai', 'mainCpu'), max: 1 / 40 },
    { name: 'loop delay p99 - idle, ms', value: 'loopP99', base: of('idle', 'loopP99'), minus: true, max: 1 },
    { name: 'latency p50, ms', value: 'latencyP50', max: 2 },
    { name: 'latency p99, ms', value: 'latencyP99', max: 5 },
    { name: 'process CPU / Rust', value: 'processCpu', base: of('ceiling', 'processCpu'), max: 1.3 },
  ],
  W1: [
    { name: 'chunks/s / Rust', value: 'chunksPerSecond', base: of('ceiling', 'chunksPerSecond'), min: 0.8 },
    { name: 'chunks/s / openai', value: 'chunksPerSecond', base: of('openai', 'chunksPerSecond'), min: 6 },
    {
      name: 'chunks/s / tuned undici',
      value: 'chunksPerSecond',
      base: of('undici-parser', 'chunksPerSecond'),
      min: 1.5,
    },
    {
      name: 'main CPU per chunk / undici bytes',
      value: 'mainUsPerChunk',
      base: of('undici-bytes', 'mainUsPerChunk'),
      max: 1 / 4,
    },
  ],
  W3: [
    { name: 'first chunk p50 / tuned undici', value: 'firstP50', base: of('undici-parser', 'firstP50'), max: 1.1 },
    { name: 'first chunk p99 / tuned undici', value: 'firstP99', base: of('undici-parser', 'firstP99'), max: 0.5 },
  ],
  W4: [
    { name: 'memory per stream / openai', value: 'rssPerStreamKb', base: of('openai', 'rssPerStreamKb'), max: 1 / 4 },
    { name: 'memory per stream / Rust', value: 'rssPerStreamKb', base: of('ceiling', 'rssPerStreamKb'), max: 1.5 },
  ],
  // The noise between two readings of resident memory; a leak of 100 bytes per stream would be 5 MB.
  W4b: [
    {
      name: 'growth over the second half, MB',
      value: 'rssFullMb',
      base: of('same', 'rssHalfMb'),
      minus: true,
      max: 3,
    },
  ],
  size: [
    { name: 'addon as published, MB', value: 'distMb', max: 8 },
    { name: 'require, ms', value: 'requireMs', max: 15 },
  ],
}

/** The targets of one result with the values reached; none for a peer, or if there is nothing to compare with. */
export function evaluate({ node, workload, client, figures }, results) {
  if (!client.startsWith('ours-')) return []
  return (TARGETS[workload] ?? []).flatMap(({ name, value, base, minus, max, min }) => {
    const other = base && (base.client === 'same' ? figures : peer(results, node, workload, base.client))
    const [a, b] = [figures[value], base ? other?.[base.figure] : undefined]
    if (!Number.isFinite(a) || (base && !Number.isFinite(b))) return []
    const reached = !base ? a : minus ? a - b : a / b
    return [
      {
        name,
        reached,
        ...(max === undefined ? { min } : { max }),
        met: max === undefined ? reached >= min : reached <= max,
      },
    ]
  })
}

function peer(results, node, workload, client) {
  const wanted = client === 'idle' ? 'idle' : workload
  return results.find((r) => r.node === node && r.workload === wanted && r.client === client)?.figures
}
