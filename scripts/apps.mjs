// The example apps as a user has them: in a folder of their own, with the package from its tarball. Installs, builds and
// starts them, and looks at them in a browser. Takes the addon and dist/ as they are.
//   node scripts/apps.mjs [express|nextjs]
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { INSTALL, root, run } from './lib.mjs'

const only = process.argv[2]
const apps = ['express', 'nextjs'].filter((app) => only === undefined || app === only)
if (apps.length === 0) {
  console.error(`no example '${only}'`)
  process.exit(2)
}

/** Debian's browser, where there is none. Every part of it that phones home is switched off where it is started. */
function installBrowser() {
  if (process.env.CHROMIUM || existsSync('/usr/bin/chromium')) return
  run('apt-get', ['update', '-qq'])
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
}

/** Copies an example out of the repository, and lets it take the package from `tarball`. */
function copy(app, folder, tarball) {
  const to = join(folder, app)
  const left = ['node_modules', '.next']
  cpSync(join(root, 'examples', app), to, { recursive: true, filter: (from) => !left.includes(basename(from)) })
  for (const name of ['package.json', 'package-lock.json']) {
    const json = JSON.parse(readFileSync(join(to, name), 'utf8'))
    const own = json.packages?.[''] ?? json
    own.dependencies.holysheep = `file:${tarball}`
    // What is locked is everything else.
    if (json.packages) delete json.packages['node_modules/holysheep']
    writeFileSync(join(to, name), JSON.stringify(json, null, 2))
  }
  return to
}

/** Writes the programs of the guide that name their file on the first line into the app. */
function addGuide(guide, to) {
  const text = readFileSync(join(root, guide), 'utf8')
  for (const [, program, name] of text.matchAll(/^```ts\n(\/\/ (\S+)\n[\s\S]*?)^```$/gm)) {
    mkdirSync(join(to, dirname(name)), { recursive: true })
    writeFileSync(join(to, name), program)
  }
}

const folder = mkdtempSync(join(tmpdir(), 'holysheep-apps-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

run('npm', ['pack', '--silent', '--pack-destination', folder], { stdio: ['ignore', 'ignore', 'inherit'] })
const [packed] = readdirSync(folder)
for (const app of apps) {
  const cwd = copy(app, folder, join(folder, packed))
  addGuide(`docs/${app}.md`, cwd)
  run('npm', INSTALL, { cwd })
  if (app === 'nextjs') run('npm', ['run', 'build'], { cwd, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } })
}
if (apps.includes('nextjs')) {
  installBrowser()
  run('npm', INSTALL, { cwd: join(root, '__test__/apps') })
}
const tests = apps.map((app) => `__test__/apps/${app}.test.mjs`)
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...tests], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, APPS_DIR: folder },
})
process.exitCode = status ?? 1
