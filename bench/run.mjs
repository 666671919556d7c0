// The bench: `npm run bench -- [options]`. Every cell (a client under a workload) is a separate process
// with its own simulator; rounds are interleaved, and a figure is the median of its rounds.
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { CLIENTS } from './clients/index.mjs'
import { footprint } from './footprint.mjs'
import { absence, buildCeiling, ceilingPath, installPeers, nodes } from './install.mjs'
import { median, table } from './table.mjs'
import { evaluate } from './targets.mjs'
import { SMOKE, WARM_UP, workloads } from './workloads.mjs'

const HELP = `npm run bench -- [options]

  --only LIST     workloads and clients, e.g. W2,ours-onchunk,openai; default: all
  --node LIST     major versions of Node.js, e.g. 20,24; default: this one and the LTS
  --rounds N      default: 3
  --quick         shorter workloads, for a first look and not for measurements
  --smoke         no measurement: the status is 1 unless every client delivers every chunk. A peer that is not
                  installed, built or loadable here is reported, and fails only if --only names it
  --json          one line of JSON per cell instead of the tables
  --no-install    use what is installed and built
`
const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const exec = promisify(execFile)

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      node: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      quick: { type: 'boolean', default: false },
      smoke: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      'no-install': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const list = (text) => text?.split(',').filter(Boolean)
  if (!/^[1-9]\d*$/.test(values.rounds))
    throw new Error(`--rounds: got '${values.rounds}'; accepted: a whole number from 1`)
  return { ...values, rounds: Number(values.rounds), only: list(values.only), node: list(values.node) }
}

/** The chosen workloads and clients; if none of a kind is named, all of it are chosen. */
function choose(only, all) {
  const known = [...Object.keys(all), ...Object.keys(CLIENTS), 'size']
  for (const name of only ?? []) {
    if (!known.includes(name)) throw new Error(`--only: got '${name}'; accepted: ${known.join(', ')}`)
  }
  const of = (names) => {
    const named = names.filter((name) => only?.includes(name))
    return named.length > 0 ? named : names
  }
  const works = of([...Object.keys(all), 'size'])
  // The delay of a loop is compared with that of an idle one.
  if (works.some((name) => all[name]?.kind === 'paced') && !works.includes('idle')) works.unshift('idle')
  return { works, clients: of(Object.keys(CLIENTS)) }
}

/** A simulator in a separate process that answers with `scenario` after the warm-up. */
async function simulator(scenario, warm) {
  const script = warm ? WARM_UP.map((repeat) => ({ repeat, stamp: true })) : []
  const args = ['simulate', '--default', JSON.stringify(scenario), '--script', JSON.stringify(script)]
  const child = spawn(process.execPath, [here('../bin/holysheep.js'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => resolve(/listening on (\S+)/.exec(data)?.[1]))
    child.on('exit', () => reject(new Error('the simulator did not start')))
  })
  return { url, stop: () => child.kill('SIGKILL') }
}

/** Runs one cell once and returns its figures, or the error; `absent` means that the peer is not available here. */
async function cell(node, client, { scenario, flags = [], ...work }) {
  const name = client === 'idle' ? 'undici-bytes' : client
  if (CLIENTS[name].binary && !existsSync(ceilingPath())) return { error: 'not built', absent: true }
  const server = await simulator(scenario, work.kind !== 'idle')
  const args = [JSON.stringify(work), server.url]
  const [command, commandArgs] = CLIENTS[name].binary
    ? [ceilingPath(), args]
    : [node.path, ['--expose-gc', ...flags, here('worker.mjs'), name, ...args]]
  const env = { ...process.env, NODE_ENV: 'production', NODE_NO_WARNINGS: '1' }
  try {
    const { stdout } = await exec(command, commandArgs, { timeout: 300_000, killSignal: 'SIGKILL', env })
    return JSON.parse(stdout.trim().split('\n').at(-1))
  } catch (error) {
    const message = /^\w*Error(?: \[\w+\])?: (.*)$/m.exec(error.stderr)?.[1] ?? error.stderr?.trim().split('\n').at(-1)
    if (error.killed) return { error: 'took longer than 300 s' }
    const missing = name.startsWith('ours-') ? undefined : absence(message)
    return { error: (missing ?? (message || error.message)).slice(0, 200), absent: missing !== undefined }
  } finally {
    server.stop()
  }
}

/** The runs of a round: every client of every workload. */
function* plan(works, clients, all) {
  for (const work of works) {
    if (work === 'size') continue
    if (work === 'idle') yield { work, client: 'idle', spec: all.idle }
    else for (const client of clients) yield { work, client, spec: all[work] }
  }
}

function summary(runs) {
  const good = runs.filter((run) => !run.error)
  if (good.length === 0) return { error: runs[0].error }
  return Object.fromEntries(Object.keys(good[0]).map((name) => [name, median(good.map((run) => run[name]))]))
}

async function smoke(clients, only) {
  let [delivered, failed] = [0, 0]
  for (const client of clients) {
    const { error, absent } = await cell({ path: process.execPath }, client, SMOKE)
    console.log(`${client}: ${error ?? 'every chunk'}`)
    if (!error) delivered++
    // A peer that cannot run on this machine is not a failure, unless --only names it.
    else if (!absent || only?.includes(client)) failed++
  }
  console.log(
    `${delivered} delivered every chunk, ${failed} failed, ${clients.length - delivered - failed} not available`,
  )
  process.exitCode = failed === 0 ? 0 : 1
}

async function measure({ node: majors, rounds, works, clients, all }) {
  const versions = nodes(majors)
  const cells = new Map()
  for (let round = 0; round < rounds; round++) {
    for (const node of versions) {
      for (const { work, client, spec } of plan(works, clients, all)) {
        const key = JSON.stringify({ node: node.version, workload: work, client })
        const figures = await cell(node, client, spec)
        if (!cells.has(key)) cells.set(key, [])
        cells.get(key).push(figures)
        if (process.stderr.isTTY) {
          process.stderr.write(`round ${round + 1}/${rounds}, Node ${node.version}: ${work} ${client}\x1b[K\r`)
        }
      }
    }
  }
  const results = [...cells].map(([key, runs]) => ({ ...JSON.parse(key), rounds: runs.length, figures: summary(runs) }))
  if (works.includes('size')) {
    for (const node of versions) {
      const figures = await footprint(node)
      results.push({ node: node.version, workload: 'size', client: 'ours-onchunk', rounds: 1, figures })
    }
  }
  return results.map((result) => ({ ...result, targets: evaluate(result, results) }))
}

async function main() {
  const chosen = options()
  if (chosen.help) {
    process.stdout.write(HELP)
    return
  }
  const all = workloads(chosen)
  const { works, clients } = choose(chosen.only, all)
  if (!chosen['no-install']) {
    installPeers()
    if (clients.includes('ceiling')) buildCeiling()
  }
  if (chosen.smoke) return smoke(clients, chosen.only)
  const results = await measure({ ...chosen, works, clients, all })
  if (chosen.json) for (const result of results) console.log(JSON.stringify(result))
  else console.log(table(results))
}

await main().catch((error) => {
  console.error(`bench: ${error.message}`)
  process.exitCode = 2
})
