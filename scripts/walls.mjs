// The walls between the modules: imports run downwards only, as src/lib.rs says.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from './lib.mjs'

/** Which modules each module may name. Its own is always allowed. */
const allowed = {
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
/** Crates that only one module may name. */
const crates = {
  napi: ['binding'],
  reqwest: ['transport'],
  hyper: ['transport'],
  tokio: ['engine', 'transport', 'simulator', 'binding'],
  h2: ['simulator'],
}
const MAX_LINES = 450

const problems = []
function* rustFiles(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) yield* rustFiles(path)
    else if (name.endsWith('.rs')) yield path
  }
}

for (const path of rustFiles(join(root, 'src'))) {
  const file = relative(root, path)
  const module = file.split('/')[1].replace(/\.rs$/, '')
  const text = readFileSync(path, 'utf8')
  if (text.split('\n').length > MAX_LINES) problems.push(`${file}: more than ${MAX_LINES} lines`)
  if (module === 'lib') continue
  // Tests may use what they like.
  const code = /test/.test(file.split('/').slice(2).join('/'))
    ? ''
    : text.replace(/^#\[cfg\(test\)\]\nmod \w+ \{[\s\S]*?^\}/gm, '').replace(/^\s*\/\/.*$/gm, '')
  for (const [, named] of code.matchAll(/\bcrate::(?:\{)?(\w+)/g)) {
    if (named !== module && !(allowed[module] ?? []).includes(named))
      problems.push(`${file}: ${module} must not import ${named}`)
  }
  for (const [crate, modules] of Object.entries(crates)) {
    if (new RegExp(`\\b${crate}::`).test(code) && !modules.includes(module))
      problems.push(`${file}: ${module} must not know ${crate}`)
  }
}
if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exit(1)
}
console.log('walls: every import runs downwards')
