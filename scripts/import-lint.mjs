// The import lint: which file may import which. It holds the layers of src/lib.rs, the floors of the
// engine, the crates that one layer alone may name, the absence of circles, and the length of files.
//
// `node scripts/import-lint.mjs [root]` checks the tree at `root`, by default this project.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { root as project } from './lib.mjs'
import { circles } from './lint/graph.mjs'
import { readCrate } from './lint/rust.mjs'
import { typescriptImports } from './lint/typescript.mjs'

/** The layers, and what each may import besides itself. */
const LAYERS = {
  error: [],
  store: ['error'],
  policy: ['error'],
  wire: ['error'],
  session: ['error'],
  config: ['error', 'policy', 'session'],
  transport: ['error'],
  engine: ['error', 'config', 'policy', 'wire', 'session', 'transport', 'store'],
  simulator: [],
  binding: ['error', 'config', 'engine', 'simulator'],
}

/** The floors of the engine. A floor may import itself and those before it. */
const FLOORS = ['time', 'shared', 'admission', 'attempt', 'call', 'client']

/** Crates that only these layers may name. */
const CRATES = {
  napi: ['binding'],
  reqwest: ['transport'],
  hyper: ['transport'],
  tokio: ['engine', 'transport', 'simulator', 'binding'],
  h2: ['transport', 'simulator'],
}

const MAX_LINES = 450

const root = process.argv[2] ?? project
const source = join(root, 'src')
const problems = []

/** The files with this ending below a folder, as paths relative to `src`, with forward slashes. */
function filesBelow(folder, ending) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true })
    .map((name) => relative(source, join(folder, name)).split(sep).join('/'))
    .filter((file) => file.endsWith(ending))
    .sort()
}

const read = (file) => readFileSync(join(source, file), 'utf8')
const layerOf = (file) => file.split('/')[0].replace(/\.rs$/, '')

for (const file of filesBelow(source, '.rs')) {
  const lines = read(file).split('\n').length
  if (lines > MAX_LINES) problems.push(`${file}: ${lines} lines; at most ${MAX_LINES}`)
}

// Tests are free, and `readCrate` leaves them out.
const crate = readCrate(source)

for (const { from, top } of crate.layers) {
  const layer = layerOf(from)
  // lib.rs declares the layers.
  if (layer === 'lib' || layer === top) continue
  if (!(LAYERS[layer] ?? []).includes(top)) problems.push(`${from}: ${layer} must not import ${top}`)
}
for (const { from, name } of crate.names) {
  const layers = CRATES[name]
  if (layers && !layers.includes(layerOf(from)))
    problems.push(`${from}: ${layerOf(from)} must not use the crate ${name}`)
}

// The engine is divided into floors as soon as the topmost folder exists.
const hasFloors = existsSync(join(source, 'engine/call'))
const inEngine = (file) => file.startsWith('engine/')
const floorOf = (file) => FLOORS.indexOf(file.split('/')[1].replace(/\.rs$/, ''))

if (hasFloors) {
  for (const file of crate.files.filter(inEngine))
    if (file !== 'engine/mod.rs' && floorOf(file) < 0)
      problems.push(`${file}: on no floor of the engine; they are ${FLOORS.join(', ')}`)
  for (const { from, to, path } of crate.imports) {
    if (!inEngine(from) || !inEngine(to) || from === 'engine/mod.rs') continue
    const [above, below] = [floorOf(from), floorOf(to)]
    if (to === 'engine/mod.rs') problems.push(`${from}: imports ${path} from the facade ${to}`)
    else if (above >= 0 && below > above)
      problems.push(`${from}: the floor ${FLOORS[above]} must not import ${path} of the floor ${FLOORS[below]} (${to})`)
  }
}

/** Reports each circle, and how many files hang together where that is more than the circle shows. */
function reportCircles(imports) {
  for (const { path, files } of circles(imports)) {
    const group = files > path.length - 1 ? ` (one of the circles of ${files} files)` : ''
    problems.push(`circle: ${path.join(' → ')}${group}`)
  }
}

reportCircles(crate.imports.filter(({ from, to }) => hasFloors || !(inEngine(from) && inEngine(to))))
// Type imports count: a circle of types is as hard to read as one of values.
const typescript = filesBelow(join(source, 'js'), '.ts')
reportCircles(typescriptImports(typescript, read))

if (problems.length > 0) {
  console.error([...new Set(problems)].join('\n'))
  process.exit(1)
}
console.log(`import lint: ${crate.files.length} Rust and ${typescript.length} TypeScript files, no import runs upwards`)
