// The example apps as a user installs them: in a separate folder, with the package from its tarballs, installed with
// `npm install holysheep` from a registry on loopback.
//   node scripts/apps.mjs [express|nextjs]     installs, builds and starts them, and tests them in a browser
//   node scripts/apps.mjs --run express|nextjs starts one, in target/apps/
// Uses the tarballs of `npm run pack`; --quick makes them from the current native/ and dist/.
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { INSTALL, root, run } from './lib.mjs'
import { manifest, platformOf } from './platforms.mjs'
import { startRegistry } from './registry.mjs'

const APPS = ['express', 'nextjs']
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, run: { type: 'boolean' } },
})
const apps = positionals.length > 0 ? positionals : APPS
if (!apps.every((app) => APPS.includes(app)) || (values.run && apps.length !== 1)) {
  console.error(`got '${positionals.join(' ')}'; accepted: ${APPS.join(' or ')}`)
  process.exit(2)
}
process.env.NEXT_TELEMETRY_DISABLED = '1'

const here = platformOf()
const packed = (name) => join(root, 'pack', `${name}-${manifest.version}.tgz`)

/** Makes the tarballs without a build. */
function packQuickly() {
  mkdirSync(dirname(here.path), { recursive: true })
  copyFileSync(join(root, 'native', here.addon), here.path)
  run(process.execPath, ['scripts/pack.mjs', '--built'], { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** Installs Debian's Chromium if there is no browser. */
function installBrowser() {
  if (process.env.CHROMIUM || existsSync('/usr/bin/chromium')) return
  run('apt-get', ['update', '-qq'])
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
}

/** Copies an example out of the repository, without its dependency on the clone. */
function copy(app, folder) {
  const to = join(folder, app)
  const excluded = ['node_modules', '.next']
  cpSync(join(root, 'examples', app), to, { recursive: true, filter: (from) => !excluded.includes(basename(from)) })
  for (const name of ['package.json', 'package-lock.json']) {
    const json = JSON.parse(readFileSync(join(to, name), 'utf8'))
    delete (json.packages?.[''] ?? json).dependencies.holysheep
    for (const path of ['node_modules/holysheep', '../..']) delete json.packages?.[path]
    writeFileSync(join(to, name), `${JSON.stringify(json, null, 2)}\n`)
  }
  return to
}

/** Runs `npm install holysheep`, asynchronously because the registry is in this process. */
async function addPackage(cwd, folder) {
  const registry = await startRegistry(JSON.parse(readFileSync(join(root, 'pack/packages.json'), 'utf8')))
  // A separate cache, because npm's cache can have an earlier package of this version.
  const from = [`--registry=${registry.url}`, '--cache', join(folder, 'cache')]
  const args = ['install', 'holysheep', '--no-audit', '--no-fund', '--loglevel=error', ...from]
  const status = await new Promise((resolve) => spawn('npm', args, { cwd, stdio: 'inherit' }).on('close', resolve))
  registry.close()
  if (status !== 0) process.exit(status ?? 1)
}

/** Writes the programs of a guide whose first line names a file into the app. */
function addGuide(guide, to) {
  const text = readFileSync(join(root, guide), 'utf8')
  for (const [, program, name] of text.matchAll(/^```ts\n(\/\/ (\S+)\n[\s\S]*?)^```$/gm)) {
    mkdirSync(join(to, dirname(name)), { recursive: true })
    writeFileSync(join(to, name), program)
  }
}

/** Installs an app in a folder from its lock file. */
async function install(app, folder) {
  const cwd = copy(app, folder)
  run('npm', INSTALL, { cwd })
  await addPackage(cwd, folder)
  return cwd
}

if (values.quick) packQuickly()
for (const name of [manifest.name, here.packageName]) {
  if (existsSync(packed(name))) continue
  console.error(`${packed(name)} does not exist: run 'npm run pack' first, or use --quick`)
  process.exit(1)
}

if (values.run) {
  const folder = join(root, 'target/apps')
  rmSync(join(folder, apps[0]), { recursive: true, force: true })
  const cwd = await install(apps[0], folder)
  run('npm', ['run', apps[0] === 'nextjs' ? 'dev' : 'start'], { cwd })
} else {
  const folder = mkdtempSync(join(tmpdir(), 'holysheep-apps-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  run('npm', INSTALL, { cwd: join(root, '__test__/apps') })
  if (apps.includes('nextjs')) installBrowser()
  for (const app of apps) {
    const cwd = await install(app, folder)
    addGuide(`docs/${app}.md`, cwd)
    if (app === 'nextjs') run('npm', ['run', 'build'], { cwd })
  }
  const tests = apps.map((app) => `__test__/apps/${app}.test.mjs`)
  const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...tests], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, APPS_DIR: folder },
  })
  process.exitCode = status ?? 1
}
