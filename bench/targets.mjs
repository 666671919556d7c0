// What holysheep wants to reach, as ratios within one run: a machine's speed and its noise are in both.

const of = (client, figure) => ({ client, figure })

/** `value` over `base` (or less it, with `minus`) may be at most `most`, or must be at least `least`. */
const TARGETS = {
  W2: [
    { name: 'main-thread CPU / undici bytes', value: 'mainCpu', base: of('undici-bytes', 'mainCpu'), most: 1 / 20 },
    { name: 'main-thread CPU / openai', value: 'mainCpu', base: of('openai', 'mainCpu'), most: 1 / 40 },
    { name: 'loop delay p99 - idle, ms', value: 'loopP99', base: of('idle', 'loopP99'), minus: true, most: 1 },
    { name: 'latency p50, ms', value: 'latencyP50', most: 2 },
    { name: 'latency p99, ms', value: 'latencyP99', most: 5 },
    { name: 'process CPU / Rust', value: 'processCpu', base: of('ceiling', 'processCpu'), most: 1.3 },
  ],
  W1: [
    { name: 'chunks/s / Rust', value: 'piecesPerSecond', base: of('ceiling', 'piecesPerSecond'), least: 0.8 },
    { name: 'chunks/s / openai', value: 'piecesPerSecond', base: of('openai', 'piecesPerSecond'), least: 6 },
    {
      name: 'chunks/s / tuned undici',
      value: 'piecesPerSecond',
      base: of('undici-parser', 'piecesPerSecond'),
      least: 1.5,
    },
    {
      name: 'main CPU a chunk / undici bytes',
      value: 'mainUsPerPiece',
      base: of('undici-bytes', 'mainUsPerPiece'),
      most: 1 / 4,
    },
  ],
  W3: [
    { name: 'first chunk p50 / tuned undici', value: 'firstP50', base: of('undici-parser', 'firstP50'), most: 1.1 },
    { name: 'first chunk p99 / tuned undici', value: 'firstP99', base: of('undici-parser', 'firstP99'), most: 0.5 },
  ],
  W4: [
    { name: 'memory a stream / openai', value: 'rssPerStreamKb', base: of('openai', 'rssPerStreamKb'), most: 1 / 4 },
    { name: 'memory a stream / Rust', value: 'rssPerStreamKb', base: of('ceiling', 'rssPerStreamKb'), most: 1.5 },
  ],
  // Noise of resident memory between two looks; a leak of 100 bytes a stream would be 5 MB.
  W4b: [
    {
      name: 'growth over the second half, MB',
      value: 'rssFullMb',
      base: of('same', 'rssHalfMb'),
      minus: true,
      most: 3,
    },
  ],
  size: [
    { name: 'addon as published, MB', value: 'distMb', most: 5 },
    { name: 'require, ms', value: 'requireMs', most: 15 },
  ],
}

/** The targets of one result, with what was reached; none for a peer, or where there is nothing to compare with. */
export function judge({ node, workload, client, figures }, results) {
  if (!client.startsWith('ours-')) return []
  return (TARGETS[workload] ?? []).flatMap(({ name, value, base, minus, most, least }) => {
    const other = base && (base.client === 'same' ? figures : peer(results, node, workload, base.client))
    const [a, b] = [figures[value], base ? other?.[base.figure] : undefined]
    if (!Number.isFinite(a) || (base && !Number.isFinite(b))) return []
    const reached = !base ? a : minus ? a - b : a / b
    return [
      {
        name,
        reached,
        ...(most === undefined ? { least } : { most }),
        met: most === undefined ? reached >= least : reached <= most,
      },
    ]
  })
}

function peer(results, node, workload, client) {
  const wanted = client === 'idle' ? 'idle' : workload
  return results.find((r) => r.node === node && r.workload === wanted && r.client === client)?.figures
}
