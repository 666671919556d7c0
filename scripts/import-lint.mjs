// The import lint: which file may import which. It enforces the layers of src/lib.rs, the floors of the engine,
// the crates that only some layers may name, the absence of import cycles, and the length of files. What it cannot
// see is listed in lint/rust.mjs and lint/typescript.mjs.
//
// `node scripts/import-lint.mjs [root]` checks the tree at `root`, by default this project.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { root as project } from './lib.mjs'
import { cycles } from './lint/graph.mjs'
import { readCrate } from './lint/rust.mjs'
import { typescriptImports } from './lint/typescript.mjs'

/** The layers, and what each may import besides itself. */
const LAYERS = {
  error: [],
  usage: [],
  weight: [],
  rng: [],
  store: ['error'],
  policy: ['error'],
  wire: ['error', 'usage', 'weight'],
  session: ['error', 'weight'],
  config: ['error', 'policy', 'session'],
  transport: ['error'],
  engine: ['error', 'usage', 'config', 'policy', 'wire', 'session', 'transport', 'store'],
  simulator: ['rng'],
  binding: ['error', 'config', 'engine', 'simulator'],
}

/** The floors of the engine. A floor may import itself and those before it. */
const FLOORS = ['time', 'shared', 'admission', 'attempt', 'call', 'client']

/** Crates that only these layers may name. */
const CRATES = {
  napi: ['binding'],
  napi_derive: ['binding'],
  napi_sys: ['binding'],
  reqwest: ['transport'],
  hyper: ['transport'],
  hyper_util: ['transport'],
  tokio: ['engine', 'transport', 'simulator', 'binding'],
  tokio_util: ['engine', 'transport', 'simulator', 'binding'],
  h2: ['transport', 'simulator'],
}

const MAX_LINES = 450

const root = process.argv[2] ?? project
const source = join(root, 'src')
const problems = []

/** The files with this ending in a folder, as paths relative to `base`, with forward slashes. */
function filesIn(folder, base, ending, recursive = true) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive })
    .map((name) => relative(base, join(folder, name)).split(sep).join('/'))
    .filter((file) => file.endsWith(ending))
    .sort()
}

/** The name of a file relative to `root`, in messages: the same as those of Rust files, relative to `src`. */
const displayName = (file) => file.replace(/^src\//, '')
const layerOf = (file) => file.split('/')[0].replace(/\.rs$/, '')

const typescript = [
  ...filesIn(join(source, 'js'), root, '.ts'),
  ...filesIn(join(root, 'types'), root, '.d.ts'),
  ...filesIn(root, root, '.d.ts', false),
]
const read = (file) => readFileSync(join(root, file), 'utf8')
for (const file of [...filesIn(source, root, '.rs'), ...typescript]) {
  const lines = read(file).split('\n').length
  if (lines > MAX_LINES) problems.push(`${displayName(file)}: ${lines} lines; at most ${MAX_LINES}`)
}

// Tests may import anything; `readCrate` leaves them out.
const crate = readCrate(source)

for (const { from, what } of crate.forbidden) problems.push(`${from}: ${what} hides imports`)
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
for (const { from, to, path } of crate.impls)
  if (layerOf(from) !== layerOf(to)) problems.push(`${from}: impl ${path}, a type of the layer ${layerOf(to)} (${to})`)

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
  // Through such a method a lower floor would call a higher one without an import.
  for (const { from, to, path } of crate.impls)
    if (inEngine(from) && inEngine(to) && floorOf(from) !== floorOf(to))
      problems.push(`${from}: impl ${path}, a type of the floor ${FLOORS[floorOf(to)]} (${to})`)
}

/** Reports each cycle, and the number of files that import each other if the cycle does not show them all. */
function reportCycles(imports) {
  for (const { path, files } of cycles(imports)) {
    const group = files > path.length - 1 ? ` (one of the cycles of ${files} files)` : ''
    problems.push(`cycle: ${path.map(displayName).join(' → ')}${group}`)
  }
}

reportCycles(crate.imports.filter(({ from, to }) => hasFloors || !(inEngine(from) && inEngine(to))))
// Type imports count: a cycle of types is as hard to read as one of values.
const manifest = join(root, 'package.json')
const { name } = existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')) : {}
const { imports, byName } = typescriptImports(typescript, read, name)
reportCycles(imports)
for (const file of byName) problems.push(`${displayName(file)}: imports the package by its own name`)

if (problems.length > 0) {
  console.error([...new Set(problems)].join('\n'))
  process.exit(1)
}
console.log(`import lint: ${crate.files.length} Rust and ${typescript.length} TypeScript files, no import runs upwards`)
