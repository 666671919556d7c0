// `npm run bench:recovery`: how cut answers of real models are continued. See README.md.
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cutCall } from './call.mjs'
import { CUTS, cases, KINDS } from './cases.mjs'
import { CLASSES, classify } from './classify.mjs'
import { expected, fakeCases, fakeServer } from './fake.mjs'
import { forms } from './forms.mjs'
import { CACHE, MODELS, SERVERS } from './models.mjs'
import { listen } from './openai-server.mjs'
import { CuttingProxy } from './proxy.mjs'
import { grouped, seam, table } from './table.mjs'

const TEMPERATURES = [0, 0.8]
const MAX_TOKENS = 128

const { values: options } = parseArgs({
  options: {
    cases: { type: 'string' },
    full: { type: 'boolean' },
    only: { type: 'string', default: '' },
    results: { type: 'string', default: join(CACHE, 'results.jsonl') },
    show: { type: 'boolean' },
    report: { type: 'boolean' },
    json: { type: 'boolean' },
    smoke: { type: 'boolean' },
    minutes: { type: 'string' },
    help: { type: 'boolean' },
  },
})

const isReport = options.show || options.report

/** The number that an option gives. */
function count(name, byDefault) {
  const value = Number(options[name] ?? byDefault)
  if (!(value > 0)) throw new Error(`--${name}: got '${options[name]}'; accepted: a positive number`)
  return value
}

/** What is measured: results of another build of the client do not count. */
function build() {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const hash = createHash('sha256')
  for (const folder of ['native', 'dist']) {
    const files = readdirSync(join(root, folder), { recursive: true }).filter((path) => /\.(?:node|js)$/.test(path))
    for (const path of files.sort()) hash.update(readFileSync(join(root, folder, path)))
  }
  return hash.digest('hex').slice(0, 12)
}

/** The dimensions of a run, limited by `--only`: names of different dimensions limit each, of one dimension add up. */
function selection() {
  const dimensions = {
    form: forms().map(({ name }) => name),
    model: Object.keys(MODELS),
    server: Object.keys(SERVERS),
    kind: KINDS,
    cut: CUTS,
    temperature: TEMPERATURES.map((temperature) => `t${temperature}`),
    class: Object.keys(CLASSES),
  }
  const names = options.only.split(',').filter(Boolean)
  const known = new Set(Object.values(dimensions).flat())
  for (const name of names) {
    if (!known.has(name)) throw new Error(`--only: got '${name}'; accepted: ${[...known].join(', ')}`)
  }
  const chosen = ([dimension, all]) => {
    const some = all.filter((name) => names.includes(name))
    return [dimension, some.length > 0 ? some : all]
  }
  const selected = Object.fromEntries(Object.entries(dimensions).map(chosen))
  const isNamed = (dimension) => dimensions[dimension].some((name) => names.includes(name))
  // What takes long to get or long to run is not part of the default run.
  if (!isNamed('server')) selected.server = ['node']
  if (!isNamed('model') && !options.full && !isReport) selected.model = ['smollm2']
  if (isReport && !isNamed('server')) selected.server = dimensions.server
  return selected
}

function readResults(version) {
  if (!existsSync(options.results)) return []
  const lines = readFileSync(options.results, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line)).filter((call) => call.build === version)
}

/** The calls of a run, round by round, so that a run that is stopped has something of everything. */
function* plan(selected, model, server) {
  let left = count('cases', options.full ? 40 : 10)
  for (const testCase of cases()) {
    if (!selected.kind.includes(testCase.kind) || !selected.cut.includes(testCase.cut)) continue
    if (left-- === 0) return
    for (const temperature of TEMPERATURES) {
      if (!selected.temperature.includes(`t${temperature}`)) continue
      for (const form of forms()) {
        if (!selected.form.includes(form.name)) continue
        const id = [model, server, form.name, `t${temperature}`, testCase.name].join('/')
        yield { id, model, server, form, temperature, testCase }
      }
    }
  }
}

async function measure(selected, version) {
  const done = new Set(readResults(version).map(({ id }) => id))
  mkdirSync(dirname(options.results), { recursive: true })
  const deadline = Date.now() + 60_000 * count('minutes', Number.POSITIVE_INFINITY)
  const proxy = await new CuttingProxy(join(CACHE, 'recordings')).start()
  try {
    for (const model of selected.model) {
      for (const server of selected.server) {
        const todo = [...plan(selected, model, server)].filter(({ id }) => !done.has(id))
        if (todo.length > 0 && Date.now() < deadline) await measureOn(proxy, model, server, todo, version, deadline)
      }
    }
  } finally {
    await proxy.close()
  }
}

async function measureOn(proxy, model, server, todo, version, deadline) {
  console.error(`${MODELS[model].title} on ${SERVERS[server].title}: ${todo.length} calls`)
  const running = await SERVERS[server].start(model)
  try {
    for (const [at, { id, form, temperature, testCase }] of todo.entries()) {
      if (Date.now() > deadline) break
      const baseUrl = running.baseUrls[form.mode]
      // A server without this mode.
      if (!baseUrl) continue
      const upstream = { baseUrl, identity: running.identity }
      let call
      try {
        call = await cutCall({ proxy, upstream, form, testCase, temperature, model, maxTokens: MAX_TOKENS })
      } catch (error) {
        // Not recorded, so that the next run tries again.
        console.error(`${id}: ${error.message}`)
        continue
      }
      const record = {
        build: version,
        id,
        model,
        server,
        form: form.name,
        ...(call ?? { skipped: 'too short to be cut' }),
      }
      appendFileSync(options.results, `${JSON.stringify(record)}\n`)
      const outcome = call ? classify(call).class : 'skipped'
      console.error(`${at + 1}/${todo.length} ${id} ${outcome} ${call?.ms ?? 0} ms`)
    }
  } finally {
    running.stop()
  }
}

const classified = (calls) => calls.map((call) => ({ ...call, ...classify(call) }))

function report(selected, version) {
  const all = readResults(version)
  const isSelected = (call) =>
    ['form', 'model', 'server', 'kind', 'cut'].every((dimension) => selected[dimension].includes(call[dimension])) &&
    selected.temperature.includes(`t${call.temperature}`) &&
    selected.class.includes(call.class)
  const calls = classified(all.filter(({ skipped }) => !skipped)).filter(isSelected)
  if (options.show) for (const call of calls) console.log(`${seam(call)}\n`)
  if (options.show) return
  const groups = {
    form: ({ model, server, form }) => `${model} · ${server} · ${form}`,
    kind: ({ form, kind }) => `${kind} · ${form === 'native' ? 'native' : 'asked'}`,
    temperature: ({ form, temperature }) => `${temperature} · ${form === 'native' ? 'native' : 'asked'}`,
    place: ({ form, isInDelta }) =>
      `${isInDelta ? 'inside a delta' : 'after a delta'} · ${form === 'native' ? 'native' : 'asked'}`,
    cut: ({ form, cut }) => `${cut} · ${form === 'native' ? 'native' : 'asked'}`,
  }
  if (options.json) {
    const tables = Object.entries(groups).map(([name, nameOf]) => [name, grouped(calls, nameOf)])
    const { length } = all.filter(({ skipped }) => skipped)
    console.log(JSON.stringify({ build: version, skipped: length, ...Object.fromEntries(tables) }, null, 2))
    return
  }
  const skipped = all.filter((call) => call.skipped).length
  console.log(`${calls.length} cut calls; ${skipped} answers were too short to be cut\n`)
  for (const [name, nameOf] of Object.entries(groups))
    console.log(`${table(grouped(calls, nameOf).sort(byName), name)}\n`)
}

const byName = (a, b) => (a.name < b.name ? -1 : 1)

/** The stand itself, with a scripted model and without a download: every behavior must get a class that it may have. */
async function smoke() {
  const server = fakeServer()
  const port = await listen(server)
  const proxy = await new CuttingProxy().start()
  const calls = []
  try {
    for (const form of forms()) {
      for (const testCase of fakeCases()) {
        const upstream = { baseUrl: `http://127.0.0.1:${port}/${form.mode}/v1`, identity: testCase.model }
        const { model } = testCase
        const call = await cutCall({ proxy, upstream, form, testCase, temperature: 0, model, maxTokens: MAX_TOKENS })
        calls.push({ id: `${form.name}/${testCase.name}`, model, server: 'fake', form: form.name, ...call })
      }
    }
  } finally {
    await proxy.close()
    server.closeAllConnections()
    server.close()
  }
  const judged = classified(calls)
  const wrong = judged.filter((call) => !expected(call.model, call.form).includes(call.class))
  for (const call of wrong) console.log(`${seam(call)}\n`)
  if (options.json)
    console.log(
      JSON.stringify(
        grouped(judged, ({ model }) => model),
        null,
        2,
      ),
    )
  else
    console.log(
      table(
        grouped(judged, ({ model }) => model),
        'behavior',
      ),
    )
  console.log(`${judged.length - wrong.length} of ${judged.length} calls have a class that their behavior may have`)
  if (wrong.length > 0) process.exitCode = 1
}

const HELP = `npm run bench:recovery -- [options]

--cases N        cut answers for each form and temperature (10)
--full           both models, 40 cases
--only a,b       names of forms, models, servers, kinds, cuts (rst, fin, stall), temperatures (t0, t0.8), classes
--minutes N      stop after that time; the next run goes on from there
--results FILE   where the calls are recorded (bench/recovery/.cache/results.jsonl)
--report         the tables of what is recorded
--show           every recorded seam: before | joined | expected
--json           the tables as JSON
--smoke          the stand itself, with a scripted model`

if (options.help) console.log(HELP)
else if (options.smoke) await smoke()
else {
  const selected = selection()
  const version = build()
  if (!isReport) await measure(selected, version)
  report(selected, version)
}
