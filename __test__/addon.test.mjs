// Which addon is loaded, and the error when there is none. Each app is laid out as npm would, without the parts that the
// test leaves out.
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { entryOf, platformOf, platforms } from '../scripts/platforms.mjs'
import { node, root } from './support/child.mjs'

const { platformName, supported } = createRequire(import.meta.url)('../dist/load.js')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const here = platformName()
const addon = join(root, `native/holysheep.${here}.node`)
const apps = []
after(() => {
  for (const app of apps) rmSync(app, { recursive: true, force: true })
})

/** An app with the main package and, with `put`, a package for `platform` whose addon `put` writes. */
function app({ platform = here, put, change } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'holysheep-'))
  apps.push(folder)
  const main = join(folder, 'node_modules/holysheep')
  for (const name of ['dist', 'index.mjs']) cpSync(join(root, name), join(main, name), { recursive: true })
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  writeFileSync(join(main, 'package.json'), JSON.stringify({ ...manifest, ...change }))
  if (put) {
    const other = join(folder, `node_modules/holysheep-${platform}`)
    mkdirSync(other)
    const { addon, packageName } = platformOf(platform)
    writeFileSync(join(other, 'package.json'), JSON.stringify({ name: packageName, main: 'index.js' }))
    writeFileSync(join(other, 'index.js'), entryOf(addon))
    put(join(other, addon))
  }
  return folder
}

/** Loads the package in an app, in a process that reports this platform and architecture. */
async function load(folder, { platform = process.platform, arch = process.arch } = {}) {
  const { code, stdout, stderr } = await node(
    [
      '-e',
      `Object.defineProperty(process, 'platform', { value: '${platform}' })
      Object.defineProperty(process, 'arch', { value: '${arch}' })
      try { console.log(require('holysheep').version) }
      catch ({ code, message }) { console.log(JSON.stringify({ code, message })) }`,
    ],
    { cwd: folder },
  )
  assert.deepEqual([code, stderr], [0, ''])
  return JSON.parse(stdout.startsWith('{') ? stdout : `"${stdout.trim()}"`)
}

test('the loader supports exactly the platforms that have packages', () => {
  assert.deepEqual([...supported].sort(), platforms.map(({ name }) => name).sort())
})

test("the addon of this platform's package is loaded", async () => {
  assert.equal(await load(app({ put: (path) => copyFileSync(addon, path) })), version)
})

describe('the error names the platform, the package and the remedy', () => {
  test('when the package for this platform is not installed', async () => {
    const { code, message } = await load(app())
    assert.equal(code, 'ADDON_NOT_LOADED')
    assert.ok(message.startsWith(`holysheep ${version} on ${here} (Node.js ${process.versions.node}): `), message)
    assert.match(message, new RegExp(`the package holysheep-${here} .* is not installed`))
    assert.match(message, /optional/)
    assert.ok(message.endsWith(`npm install holysheep-${here}@${version}`), message)
  })

  test('when only the package for another platform is installed', async () => {
    const other = here === 'linux-arm64-gnu' ? 'linux-x64-gnu' : 'linux-arm64-gnu'
    const { message } = await load(app({ platform: other, put: (path) => copyFileSync(addon, path) }))
    assert.match(message, new RegExp(`the package holysheep-${here} .* is not installed`))
  })

  test('when there is no package for this platform', async () => {
    for (const [platform, arch, name] of [
      ['sunos', 'x64', 'sunos-x64'],
      ['win32', 'arm64', 'win32-arm64-msvc'],
    ]) {
      const { code, message } = await load(app(), { platform, arch })
      assert.equal(code, 'ADDON_NOT_LOADED')
      assert.match(message, new RegExp(`on ${name} .* this platform has no native addon.* holysheep-${name}`))
      for (const { name } of platforms) assert.ok(message.includes(name), name)
    }
  })

  test('when the system refuses to load the addon', async () => {
    const { code, message } = await load(app({ put: (path) => writeFileSync(path, 'no shared object') }))
    assert.equal(code, 'ADDON_NOT_LOADED')
    assert.match(
      message,
      new RegExp(`the package holysheep-${here} was found but cannot be loaded: .+ run 'npm install'`),
    )
  })

  test('when the versions of the addon and the package differ', async () => {
    const put = (path) => copyFileSync(addon, path)
    const { code, message } = await load(app({ put, change: { version: '9.9.9' } }))
    assert.equal(code, 'ADDON_NOT_LOADED')
    assert.match(message, new RegExp(`holysheep 9\\.9\\.9 on ${here} .* has version ${version}`))
  })
})
