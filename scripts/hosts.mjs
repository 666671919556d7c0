// The package in test runners and bundlers, as a user installs them: in a separate folder, from the tarballs of
// `npm run pack`; --quick makes them from the current native/ and dist/.
//   node scripts/hosts.mjs [runners|bundlers]
// Runners: everything works under fake timers, before and after the package is loaded. Bundlers: a bundle that has been
// moved away runs with the addon beside it, or with node_modules; without either, the error says what to do.
import { spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { INSTALL, root, run } from './lib.mjs'
import { manifest, platformOf } from './platforms.mjs'

const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean' } } })
const wanted = positionals.length > 0 ? positionals : ['runners', 'bundlers']
const here = platformOf()
const tarballs = [manifest.name, here.packageName].map((name) => join(root, `pack/${name}-${manifest.version}.tgz`))

if (values.quick) {
  mkdirSync(dirname(here.path), { recursive: true })
  copyFileSync(join(root, 'native', here.addon), here.path)
  run(process.execPath, ['scripts/pack.mjs', '--built'], { stdio: ['ignore', 'ignore', 'inherit'] })
}
const work = mkdtempSync(join(tmpdir(), 'holysheep-hosts-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))
const project = join(work, 'project')
cpSync(join(root, '__test__/hosts'), project, {
  recursive: true,
  filter: (from) => basename(from) !== 'node_modules',
})
run('npm', INSTALL, { cwd: project })
// A separate cache, because npm's cache can have an earlier package of this version.
run('npm', [...INSTALL, '--cache', join(work, 'cache'), ...tarballs], { cwd: project })

let failed = 0
function check(name, problem) {
  if (problem) failed++
  console.log(problem ? `not ok: ${name}: ${problem}` : `ok: ${name}`)
}

/** Runs Node, and returns the output; `code` is 0 unless it has failed. */
function node(args, cwd) {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd,
    encoding: 'utf8',
    timeout: 120_000,
  })
  return { code: status ?? signal, stdout, output: `${stdout}${stderr}` }
}

function succeeds(name, args) {
  const { code, output } = node(args, project)
  check(name, code !== 0 && `exited with ${code}\n${output}`)
}

function runners() {
  succeeds('Jest', ['node_modules/jest/bin/jest.js', '--config', 'jest.config.cjs'])
  succeeds('Vitest', ['node_modules/vitest/vitest.mjs', 'run'])
  for (const when of ['before', 'after']) {
    const { code, stdout, output } = node(['sinon.cjs', when], project)
    // A process whose call never settles exits early, with nothing printed.
    check(
      `Sinon, ${when} the package is loaded`,
      (code !== 0 || stdout !== 'done\n') && `exited with ${code}\n${output}`,
    )
  }
}

function bundlers() {
  const installed = join(project, 'node_modules')
  for (const bundler of ['esbuild', 'webpack', 'rollup']) {
    for (const format of ['cjs', 'esm']) {
      const name = (what) => `${bundler}, ${format}: ${what}`
      const ending = format === 'cjs' ? 'cjs' : 'mjs'
      const bundle = (kind, ...options) => {
        const path = join(work, `${bundler}-${format}-${kind}/app.${ending}`)
        const { code, output } = node(['bundle.mjs', bundler, format, path, ...options], project)
        check(name(`is bundled, ${kind}`), code !== 0 && output)
        return path
      }
      const runs = (what, path) => {
        const { stdout, output } = node([path], work)
        check(name(what), stdout !== 'one two one two\n' && output)
      }
      const inside = bundle('inside')
      const { code, output } = node([inside], work)
      const isClear =
        output.includes('ADDON_NOT_LOADED') && output.includes(here.addon) && output.includes('bundlers.md')
      check(name('without its addon the error says what to do'), (code !== 1 || !isClear) && output)
      copyFileSync(join(installed, here.packageName, here.addon), join(dirname(inside), here.addon))
      runs('runs with the addon beside it', inside)

      const outside = bundle('external', 'external')
      for (const packageName of [manifest.name, here.packageName]) {
        const to = join(dirname(outside), 'node_modules', packageName)
        cpSync(join(installed, packageName), to, { recursive: true })
      }
      runs('runs with node_modules beside it', outside)
    }
  }
}

const started = performance.now()
for (const part of wanted) ({ runners, bundlers })[part]()
console.log(`${failed} failed, ${((performance.now() - started) / 1000).toFixed(0)} s`)
process.exitCode = failed === 0 ? 0 : 1
