// ARCHITECTURE.md names files; a file that was moved must be renamed there too.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')

test('every path in ARCHITECTURE.md exists', () => {
  const named = [...page.matchAll(/`([\w./-]+(?:\.(?:rs|ts|mjs|md)|\/))`/g)].map(([, path]) => path)
  assert.ok(named.length > 40, `only ${named.length} paths were found`)
  const isThere = (path) => ['', 'src/'].some((start) => existsSync(join(root, start, path)))
  const floors = ['time', 'shared', 'admission', 'attempt', 'call', 'client'].map((floor) => `src/engine/${floor}`)
  const inEngine = (path) => [...floors, 'src/wire/dialect'].some((floor) => existsSync(join(root, floor, path)))
  assert.deepEqual(
    named.filter((path) => !isThere(path) && !(inEngine(path) && !path.includes('/'))),
    [],
  )
})

test('the floors of the engine are those that ARCHITECTURE.md lists, in their order', () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, floor]) => floor)
  const mod = readFileSync(join(root, 'src/engine/mod.rs'), 'utf8')
  const listed = [...mod.matchAll(/^\/\/! \| \[`(\w+)`\]/gm)].map(([, floor]) => floor)
  assert.deepEqual(rows, listed)
  for (const floor of listed) assert.ok(existsSync(join(root, 'src/engine', floor)), floor)
})
