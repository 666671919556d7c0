// Formats the results as tables.
import { CLIENTS } from './clients/index.mjs'

/** The heading of each column, and its number of decimals. */
const COLUMNS = {
  chunksPerSecond: ['chunks/s', 0],
  mainCpu: ['main CPU %', 1],
  processCpu: ['process CPU %', 1],
  loopP99: ['loop p99 ms', 2],
  latencyP50: ['latency p50 ms', 2],
  latencyP99: ['p99 ms', 2],
  mainUsPerChunk: ['main µs/chunk', 2],
  processUsPerChunk: ['process µs/chunk', 2],
  firstP50: ['first chunk p50 ms', 3],
  firstP99: ['p99 ms', 3],
  callP50: ['complete call p50 ms', 3],
  callP99: ['p99 ms', 3],
  rssPerStreamKb: ['KiB/stream', 1],
  rssHalfMb: ['MiB after half', 1],
  rssFullMb: ['MiB at the end', 1],
  startedStreams: ['streams', 0],
  requireMs: ['require ms', 1],
  addonMb: ['addon here MB', 2],
  distMb: ['addon published MB', 2],
}

export function median(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function rows(lines) {
  const widths = lines[0].map((_, at) => Math.max(...lines.map((line) => String(line[at] ?? '').length)))
  return lines
    .map((line) =>
      line.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : String(cell).padStart(widths[at]))).join('  '),
    )
    .join('\n')
}

function figures(group) {
  const names = Object.keys(COLUMNS).filter((name) => group.some((r) => Number.isFinite(r.figures[name])))
  const head = ['', ...names.map((name) => COLUMNS[name][0])]
  const lines = group
    .filter((r) => !r.figures.error)
    .map((r) => [
      CLIENTS[r.client]?.label ?? r.client,
      ...names.map((name) => (Number.isFinite(r.figures[name]) ? r.figures[name].toFixed(COLUMNS[name][1]) : '–')),
    ])
  const failed = group.filter((r) => r.figures.error).map((r) => `${CLIENTS[r.client].label}: ${r.figures.error}`)
  return [...(lines.length > 0 ? [rows([head, ...lines])] : []), ...failed].join('\n')
}

function targets(group) {
  const digits = (value) => (Math.abs(value) < 0.1 ? value.toFixed(3) : value.toFixed(2))
  const lines = group.flatMap((r) =>
    r.targets.map(({ name, reached, max, min, met }) => [
      `${CLIENTS[r.client].label}: ${name}`,
      digits(reached),
      max === undefined ? `≥ ${digits(min)}` : `≤ ${digits(max)}`,
      met ? 'met' : 'MISSED',
    ]),
  )
  return lines.length > 0 ? `\n\n${rows(lines)}` : ''
}

export function table(results) {
  const keys = [...new Set(results.map((r) => `${r.workload}, Node ${r.node}`))]
  return keys
    .map((key) => {
      const group = results.filter((r) => `${r.workload}, Node ${r.node}` === key)
      return `\n## ${key}, median of ${Math.max(...group.map((r) => r.rounds))}\n${figures(group)}${targets(group)}`
    })
    .join('\n')
}
