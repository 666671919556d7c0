// The chart of W2 from the JSON lines of a run: `npm run -s bench -- --json --only idle,W2 > w2.jsonl`,
// then `node bench/chart.mjs w2.jsonl [NODE_MAJOR]`, which writes bench/w2.svg.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CLIENTS } from './clients/index.mjs'

const [file, major] = process.argv.slice(2)
if (!file) {
  console.error('usage: node bench/chart.mjs RESULTS.jsonl [NODE_MAJOR]')
  process.exit(2)
}
const results = readFileSync(file, 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line))
  .filter((r) => r.workload === 'W2' && Number.isFinite(r.figures.mainCpu))
  .filter((r) => !major || r.node.split('.')[0] === major)
const node = results.at(-1)?.node
const bars = results.filter((r) => r.node === node).sort((a, b) => a.figures.mainCpu - b.figures.mainCpu)
if (bars.length === 0) {
  console.error(`${file}: no figures of W2${major ? ` on Node ${major}` : ''}`)
  process.exit(1)
}

const ROW = 28
const TOP = 64
const LEFT = 210
const WIDTH = 300
const FULL = 760
const height = TOP + bars.length * ROW + 34
const text = (x, y, content, more = '') => `<text x="${x}" y="${y}"${more}>${content}</text>`
const ms = (value) => {
  if (value === undefined) return '–'
  return value < 1000 ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : `${(value / 1000).toFixed(0)} s`
}

const rows = bars.map(({ client, figures }, index) => {
  const y = TOP + index * ROW
  const width = Math.max((WIDTH * Math.min(figures.mainCpu, 100)) / 100, 1)
  const ours = client.startsWith('ours-')
  const late =
    figures.chunksPerSecond < 47_500 ? ` (${(figures.chunksPerSecond / 500).toFixed(0)} % of the chunks)` : ''
  return [
    text(LEFT - 10, y + 17, CLIENTS[client].label, ` text-anchor="end"${ours ? ' class="ours-text"' : ''}`),
    `<rect x="${LEFT}" y="${y + 4}" width="${WIDTH}" height="18" rx="2" class="track"/>`,
    `<rect x="${LEFT}" y="${y + 4}" width="${width.toFixed(1)}" height="18" rx="2" class="${ours ? 'ours' : 'peer'}"/>`,
    text(LEFT + WIDTH + 10, y + 17, `${figures.mainCpu.toFixed(1)} %${late && ' *'}`),
    text(LEFT + WIDTH + 150, y + 17, ms(figures.loopP99), ' text-anchor="end"'),
    text(LEFT + WIDTH + 240, y + 17, ms(figures.latencyP99), ' text-anchor="end"'),
    late && `<title>${CLIENTS[client].label}${late}</title>`,
  ]
    .filter(Boolean)
    .join('\n  ')
})
const [fewest, most] = [Math.min, Math.max].map((of) => of(...bars.map((bar) => bar.rounds)))
const rounds = fewest === most ? (most === 1 ? '1 run' : `${most} runs`) : `${fewest} to ${most} runs`
const behind = bars.some(({ figures }) => figures.chunksPerSecond < 47_500)

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${FULL} ${height}" width="${FULL}" height="${height}" role="img" aria-label="CPU time of the main thread with 1000 streams">
<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #6e7781 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px }
  .ours-text { font-weight: 600 }
  .ours { fill: #1f883d }
  .peer { fill: #8c959f }
  .track { fill: #8c959f; fill-opacity: .15 }
  @media (prefers-color-scheme: dark) { text { fill: #9198a1 } .ours { fill: #3fb950 } .peer { fill: #6e7681 } }
</style>
${text(10, 20, '1000 concurrent answers, 50 chunks a second each: the cost to the main thread', ' class="title"')}
${text(LEFT, 50, 'CPU time of the main thread', ' class="small"')}
${text(LEFT + WIDTH + 150, 50, 'event loop p99', ' class="small" text-anchor="end"')}
${text(LEFT + WIDTH + 240, 50, 'delivery p99', ' class="small" text-anchor="end"')}
  ${rows.join('\n  ')}
${text(10, height - 10, `Node.js ${node}, 2 cores, simulator on the same machine; medians of ${rounds}.${behind ? ' * does not keep up.' : ''}`, ' class="small"')}
</svg>
`
const target = fileURLToPath(new URL('w2.svg', import.meta.url))
writeFileSync(target, svg)
console.error(`wrote ${target}`)
