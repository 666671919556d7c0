// Tests the tarballs of `npm run pack` as a user installs them: `npm install holysheep` in an empty app, from a registry on
// loopback, with only Node.js and a shell on the PATH. Then it runs programs in CommonJS, ESM and
// TypeScript, in workers and in a cluster, the README's first program and the command line, on Node.js 20, 22 and 24.
// `--here` tests only the current Node.js.
import { spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { output, root } from './lib.mjs'
import { manifest, platformOf } from './platforms.mjs'
import { startRegistry } from './registry.mjs'

const ANSWER = 'one two three four five'
const NODES = ['20.20.2', '22.23.3', '24.21.0']
const MAX_INSTALLED_BYTES = 8e6
const { platform, arch } = process
const windows = platform === 'win32'
const npm = process.env.npm_execpath ?? join(output('npm', ['root', '-g']).trim(), 'npm/bin/npm-cli.js')
const work = mkdtempSync(join(tmpdir(), 'holysheep-packed-'))
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

let failed = 0
/** The entry points that need an optional peer dependency, which is not installed here. */
const NEEDS_PEER = /\/opentelemetry$/

let passed = 0
/** Runs one check. Its problem is the text that `body` returns, or the message of its error. */
async function check(name, body) {
  let problem
  try {
    problem = await body()
  } catch (error) {
    problem = error.message
  }
  if (problem) {
    failed++
    console.error(`not ok: ${name}: ${problem}`)
  } else {
    passed++
    console.log(`ok: ${name}`)
  }
}

/** Runs a program in a folder, asynchronously because the registry is in this process. Returns its output, or throws. */
function run(file, args, { cwd, env }) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, timeout: 120_000, stdio: ['ignore', 'pipe', 'pipe'] })
    const text = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (data) => {
        text[name] += data
      })
    }
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(text.stdout)
      else reject(new Error(`${args.join(' ')}: exited with ${code ?? signal}\n${text.stdout}${text.stderr}`))
    })
  })
}

/** The Node.js versions to test: `[{ version, path }]`. The packages of the binaries have no install scripts. */
function nodes() {
  if (process.argv.includes('--here')) return [{ version: process.versions.node, path: process.execPath }]
  const folder = join(root, 'target/nodes')
  mkdirSync(folder, { recursive: true })
  const name = `node-${windows ? 'win' : platform}-${arch}`
  const dependencies = Object.fromEntries(NODES.map((version) => [`node-${version}`, `npm:${name}@${version}`]))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }))
  output('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder })
  return NODES.map((version) => ({
    version,
    path: join(folder, `node_modules/node-${version}/bin/node${windows ? '.exe' : ''}`),
  }))
}

/** The size of a folder in bytes. */
function sizeOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((total, entry) => total + statSync(join(entry.parentPath ?? entry.path, entry.name)).size, 0)
}

/** The environment of the app: a PATH with node and a shell, and nothing from this project. */
function environment(node, folder) {
  const programs = join(folder, 'programs')
  mkdirSync(programs)
  if (windows) cpSync(node, join(programs, 'node.exe'))
  else
    for (const [name, path] of [
      ['node', node],
      ['sh', '/bin/sh'],
    ])
      symlinkSync(path, join(programs, name))
  const inherited = [
    'HOME',
    'USERPROFILE',
    'APPDATA',
    'LOCALAPPDATA',
    'TEMP',
    'TMP',
    'SystemRoot',
    'ComSpec',
    'SSL_CERT_FILE',
  ]
  const env = Object.fromEntries(inherited.filter((name) => process.env[name]).map((name) => [name, process.env[name]]))
  env.PATH = windows ? `${programs}${delimiter}${process.env.SystemRoot}\\System32` : programs
  return env
}

const here = platformOf()
const tarball = (name) => join(root, 'pack', `${name}-${manifest.version}.tgz`)
for (const name of [manifest.name, here.packageName]) {
  if (existsSync(tarball(name))) continue
  console.error(`${tarball(name)} does not exist: run 'npm run pack' first`)
  process.exit(1)
}
const registry = await startRegistry(readJson(join(root, 'pack/packages.json')))

const names = Object.keys(manifest.exports).map((name) => `${manifest.name}${name.slice(1)}`)
for (const { version, path: node } of nodes()) {
  const folder = join(work, version)
  const app = join(folder, 'app')
  const modules = join(app, 'node_modules')
  mkdirSync(app, { recursive: true })
  const env = environment(node, folder)
  const at = (name) => `Node.js ${version}: ${name}`
  const program = (name, extra = {}) => run(node, [name], { cwd: app, env: { ...env, ...extra } })
  /** Checks that a program prints the answer at least `times` times. */
  const answers = async (name, times = 1) => {
    const text = await program(name)
    if (text.split(`${ANSWER}\n`).length - 1 < times) return `printed ${JSON.stringify(text)}`
  }

  await check(at('no compiler is on the PATH'), () => {
    const found = ['cargo', 'rustc', 'cc', 'gcc', 'clang', 'make', 'python3'].filter(
      (name) => !spawnSync(name, ['--version'], { env }).error,
    )
    return found.join(', ')
  })
  await check(at('npm installs it with only the package of this platform'), async () => {
    registry.downloads.length = 0
    // A separate cache, because npm's cache can have an earlier package of this version.
    const from = [`--registry=${registry.url}`, '--cache', join(folder, 'cache')]
    await run(node, [npm, 'install', 'holysheep', '--no-audit', '--no-fund', ...from], { cwd: app, env })
    const downloads = [...new Set(registry.downloads)].sort().join(', ')
    if (downloads !== `${manifest.name}, ${here.packageName}`) return `npm downloaded ${downloads}`
    const bytes = sizeOf(modules)
    console.log(`installed: ${(bytes / 1e6).toFixed(2)} MB`)
    if (bytes >= MAX_INSTALLED_BYTES) return `${bytes} bytes; the limit is ${MAX_INSTALLED_BYTES}`
    // npm looks up an optional peer without installing it.
    const unknown = registry.unknown.filter((name) => manifest.peerDependenciesMeta?.[name]?.optional !== true)
    if (unknown.length > 0) return `npm asked for ${unknown.join(', ')}`
  })
  await check(at('every file that package.json exports exists'), () => missing(join(modules, 'holysheep')).join(', '))

  cpSync(join(root, '__test__/packed'), app, { recursive: true })
  await check(at('CommonJS'), () => answers('app.cjs'))
  await check(at('ESM'), () => answers('app.mjs'))
  await check(at('every subpath can be required and imported'), async () => {
    const peerless = names.filter((name) => !NEEDS_PEER.test(name))
    const each = peerless.map(
      (name) => `await import('${name}', ${name.endsWith('.json') ? '{ with: { type: "json" } }' : '{}'})`,
    )
    writeFileSync(join(app, 'subpaths.mjs'), each.join('\n'))
    writeFileSync(join(app, 'subpaths.cjs'), peerless.map((name) => `require('${name}')`).join('\n'))
    await program('subpaths.mjs')
    await program('subpaths.cjs')
    for (const name of names.filter((name) => NEEDS_PEER.test(name))) {
      writeFileSync(join(app, 'peer.mjs'), `await import('${name}')`)
      const error = await program('peer.mjs').catch(({ message }) => message)
      if (!error.includes('npm install @opentelemetry/api')) return `${name} without its peer: ${error}`
    }
  })
  await check(at('worker threads'), () => answers('worker.mjs', 3))
  await check(at('a cluster'), () => answers('cluster.cjs', 2))
  await check(at("the README's first program, against `npx holysheep simulate`"), async () => {
    const readme = readFileSync(join(modules, 'holysheep/README.md'), 'utf8')
    writeFileSync(join(app, 'first.mjs'), readme.match(/^```js\n([\s\S]*?)^```$/m)[1])
    const args = [npm, 'exec', '--', 'holysheep', 'simulate', '--answer', ANSWER]
    const child = spawn(node, args, { cwd: app, env, detached: !windows, stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      const HOLYSHEEP_BASE_URL = await new Promise((resolve, reject) => {
        child.stdout.setEncoding('utf8').once('data', (text) => resolve(text.match(/listening on (\S+)/)?.[1]))
        child.once('close', () => reject(new Error('holysheep simulate exited')))
      })
      const text = await program('first.mjs', { HOLYSHEEP_BASE_URL, HOLYSHEEP_API_KEY: 'sk-packed' })
      if (!text.startsWith(`${ANSWER}\ntokens: `)) return `printed ${JSON.stringify(text)}`
    } finally {
      // The simulator is a child of npm, so the whole process group is terminated.
      if (windows) spawnSync('taskkill', ['/pid', String(child.pid), '/T', '/F'])
      else process.kill(-child.pid, 'SIGTERM')
    }
  })
  await check(at('TypeScript, strict, `nodenext` and `bundler`'), async () => {
    const packages = ['typescript', '@types/node'].map((name) => `${name}@${manifest.devDependencies[name]}`)
    // These come from the registry that this machine is configured for.
    await run(node, [npm, 'install', '--save-dev', '--no-audit', '--no-fund', '--prefer-offline', ...packages], {
      cwd: app,
      env: { ...process.env, PATH: env.PATH },
    })
    const options = {
      strict: true,
      exactOptionalPropertyTypes: true,
      target: 'es2022',
      skipLibCheck: false,
      types: ['node'],
    }
    // Every subpath has types. Those of the optional peer, which is not installed, are skipped.
    const every = names.filter((name) => !name.endsWith('.json'))
    writeFileSync(join(app, 'subpaths.mts'), every.map((name, at) => `export * as s${at} from '${name}'`).join('\n'))
    const configs = {
      nodenext: [{ module: 'nodenext', moduleResolution: 'nodenext', outDir: 'out' }, ['app.mts', 'app.cts']],
      bundler: [{ module: 'esnext', moduleResolution: 'bundler', noEmit: true }, ['app.mts']],
      subpaths: [
        { module: 'nodenext', moduleResolution: 'nodenext', noEmit: true, skipLibCheck: true },
        ['subpaths.mts'],
      ],
    }
    for (const [name, [more, files]] of Object.entries(configs)) {
      writeFileSync(join(app, `${name}.json`), JSON.stringify({ compilerOptions: { ...options, ...more }, files }))
      await run(node, [join(modules, 'typescript/bin/tsc'), '-p', `${name}.json`], { cwd: app, env })
    }
    return (await answers('out/app.mjs')) ?? (await answers('out/app.cjs'))
  })
  await check(at('without optional dependencies the error names the missing package'), async () => {
    rmSync(join(modules, here.packageName), { recursive: true })
    const error = await program('app.cjs').catch(({ message }) => message)
    if (!error.includes(`the package ${here.packageName}`)) return error
  })
}

/** The files that package.json refers to and that are not in the folder. */
function missing(folder) {
  const { bin, exports, main, module, types } = readJson(join(folder, 'package.json'))
  const targets = (value) => (typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(targets))
  return [...new Set(targets([bin, exports, main, module, types]))].filter((path) => !existsSync(join(folder, path)))
}

registry.close()
rmSync(work, { recursive: true, force: true })
console.log(`${passed} of ${passed + failed} checks of the packed package passed`)
process.exitCode = failed === 0 ? 0 : 1
