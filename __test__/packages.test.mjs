// The published packages: nothing is missing from them, and what their addons require of a system is known.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { test } from 'node:test'
import { compare, newestGlibc, requirements } from '../scripts/elf.mjs'
import { manifest, platforms } from '../scripts/platforms.mjs'
import { root } from './support/child.mjs'

/** Every path in a part of package.json. */
const paths = (value) => (typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(paths))

const shell = process.platform === 'win32'
const listed = execFileSync('npm', ['pack', '--json', '--dry-run'], { cwd: root, encoding: 'utf8', shell })
const packed = JSON.parse(listed)[0].files.map(({ path }) => path)

test('the main package has every file that package.json names', () => {
  const { bin, exports, main, module, types } = manifest
  const named = paths([bin, exports, main, module, types]).map((path) => normalize(path).replaceAll('\\', '/'))
  assert.ok(named.length >= 10)
  for (const path of named) assert.ok(packed.includes(path), `${path} is not in the package`)
})

test('the main package has the files that its declarations and its README refer to', () => {
  for (const path of packed.filter((name) => /\.d\.m?ts$/.test(name))) {
    const text = readFileSync(join(root, path), 'utf8')
    for (const [, target] of text.matchAll(/(?:from|import)\s*\(?'(\.[^']+)'/g)) {
      const base = join(path, '..', target).replaceAll('\\', '/')
      const names = [
        `${base}.d.ts`,
        base.replace(/\.js$/, '.d.ts'),
        base.replace(/\.mjs$/, '.d.mts'),
        `${base}/index.d.ts`,
      ]
      assert.ok(
        names.some((name) => packed.includes(name)),
        `${path} imports ${target}`,
      )
    }
  }
  for (const [, target] of readFileSync(join(root, 'README.md'), 'utf8').matchAll(/\]\((docs\/[^)#]+\.md)/g)) {
    assert.ok(packed.includes(target), `README.md links to ${target}`)
  }
})

test('the main package has no addon, no sources and no tests', () => {
  assert.deepEqual(
    packed.filter((path) => /\.(node|rs|toml)$|^(src|__test__|scripts|bench|examples|native|npm)\//.test(path)),
    [],
  )
})

test('the repository depends on no package that is not published yet', () => {
  assert.equal(manifest.optionalDependencies, undefined)
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  for (const { packageName } of platforms) assert.ok(!lock.includes(packageName), packageName)
})

test('the release builds the addon of every platform', () => {
  const workflow = readFileSync(join(root, '.github/workflows/release.yml'), 'utf8')
  const built = [...workflow.matchAll(/\{ platform: ([\w-]+), target: ([\w-]+), /g)].map(([, name, triple]) => [
    name,
    triple,
  ])
  assert.deepEqual(built.sort(), platforms.map(({ name, triple }) => [name, triple]).sort())
})

test('the system requirements of a shared object are read from the file', {
  skip: process.platform !== 'linux',
}, () => {
  // Node.js itself needs the C library, and no newer version of glibc than this machine has.
  const { libraries, versions } = requirements(process.execPath)
  assert.ok(
    libraries.some((name) => /^libc\./.test(name)),
    libraries.join(),
  )
  const { glibcVersionRuntime: runs } = process.report.getReport().header
  if (runs === undefined) return
  assert.ok(
    versions['libc.so.6'].some((name) => /^GLIBC_2\.\d+/.test(name)),
    versions['libc.so.6'].join(),
  )
  const newest = newestGlibc(process.execPath)
  assert.ok(compare(newest, [2, 14]) >= 0 && compare(newest, runs.split('.').map(Number)) <= 0, newest.join('.'))
})

test('versions are compared component by component', () => {
  assert.ok(compare([2, 28], [2, 4]) > 0 && compare([2, 2, 5], [2, 2]) > 0 && compare([2, 28], [2, 28]) === 0)
})
