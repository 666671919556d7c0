// The steps of .ci/run. Each step counts as one check; tests count individually. The last line is
// `N passed, N failed`.
import { spawn } from 'node:child_process'
import { bin, root } from './lib.mjs'

let passed = 0
let failed = 0

/** Runs a command, prints its output as it arrives, and returns it. */
function step(name, command, args, env = {}) {
  return new Promise((resolve) => {
    console.log(`\n=== ${name}`)
    const started = Date.now()
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        output += data
        process.stdout.write(data)
      })
    }
    child.on('error', (error) => console.log(error.message))
    child.on('close', (status) => {
      console.log(`=== ${name}: ${status === 0 ? 'ok' : 'FAILED'} (${((Date.now() - started) / 1000).toFixed(0)} s)`)
      resolve({ ok: status === 0, output })
    })
  })
}

const check = async (...args) => {
  const { ok } = await step(...args)
  if (ok) passed++
  else failed++
}

/** The sum of the numbers that `pattern` captures in a text. */
const sum = (text, pattern) => [...text.matchAll(pattern)].reduce((total, [, n]) => total + Number(n), 0)

const tests = await step('tests', 'npm', ['test'])
const ran = sum(tests.output, /(\d+) passed;/g) + sum(tests.output, /^(?:# |ℹ )pass (\d+)$/gm)
const failures = sum(tests.output, /passed; (\d+) failed/g) + sum(tests.output, /^(?:# |ℹ )fail (\d+)$/gm)
passed += ran
failed += tests.ok ? failures : Math.max(failures, 1)
if (tests.ok && !(ran > 0)) {
  console.log('no test ran')
  failed++
}

await check('pure part without any feature', 'cargo', ['check', '--locked', '--no-default-features'])
await check('engine without napi', 'cargo', ['check', '--locked', '--no-default-features', '--features', 'engine'])
await check('simulator without napi', 'cargo', [
  'check',
  '--locked',
  '--no-default-features',
  '--features',
  'simulator',
])
await check('fuzz targets: replay of the corpus, and 20 s', process.execPath, ['scripts/fuzz.mjs', '--seconds', '20'])
await check('clippy', 'cargo', ['clippy', '--locked', '--all-targets', '--', '-D', 'warnings'])
await check('clippy of the fuzz targets', 'cargo', [
  'clippy',
  '--locked',
  ...['--manifest-path', 'fuzz/Cargo.toml'],
  ...['--target-dir', 'target/fuzz'],
  '--',
  ...['-D', 'warnings'],
])
await check('rustfmt', 'cargo', ['fmt', '--check'])
await check('rustfmt of the fuzz targets', 'cargo', ['fmt', '--check', '--manifest-path', 'fuzz/Cargo.toml'])
await check('rust docs', 'cargo', ['doc', '--locked', '--no-deps', '--quiet'], { RUSTDOCFLAGS: '-D warnings' })
await check('imports: layers, floors of the engine, no cycles', process.execPath, ['scripts/import-lint.mjs'])
await check('biome', bin('biome'), ['ci', '.'])
await check('types of the public interface', bin('tsc'), ['-p', '__test__/types'])
for (const resolution of ['nodenext', 'bundler'])
  await check(`types in a strict project (${resolution})`, bin('tsc'), [
    '-p',
    `__test__/types/consumer/tsconfig.${resolution}.json`,
  ])
await check('docs/options.md is current', process.execPath, ['scripts/options.mjs', '--check'])
await check('README and guides: every program runs', process.execPath, ['scripts/docs.mjs'])
await check('API reference: every type is exported and every link resolves', process.execPath, [
  'scripts/reference.mjs',
])
await check('examples of the systems', process.execPath, ['scripts/examples.mjs'])
await check('demo', 'npm', ['run', 'demo'])
await check('bench: every client delivers every chunk', process.execPath, ['bench/run.mjs', '--smoke', '--no-install'])
await check('packages: the published addon, its size and its glibc version', 'npm', ['run', 'pack'])
await check('packages: installation in an empty app without a compiler', process.execPath, ['scripts/packed.mjs'])
await check('test runners with fake timers, bundlers', process.execPath, ['scripts/hosts.mjs'])
await check('example apps, in a browser', process.execPath, ['scripts/apps.mjs'])

console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
