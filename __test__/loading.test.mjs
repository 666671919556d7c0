// Loading the package, and where it cannot be loaded.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import * as imported from 'holysheep'
import * as importedSimulator from 'holysheep/simulator'
import { node, run } from './support/child.mjs'

const require = createRequire(import.meta.url)

test('require and import return the same classes', () => {
  const required = { ...require('holysheep'), ...require('holysheep/simulator') }
  const both = { ...imported, ...importedSimulator }
  for (const [name, value] of Object.entries(both)) assert.equal(value, required[name], name)
  assert.equal(imported.version, require('holysheep/package.json').version)
})

test('loading the package starts no thread', { skip: !existsSync('/proc/self/task') }, async () => {
  const { code, stdout, stderr } = await node([
    '-e',
    `const count = () => require('node:fs').readdirSync('/proc/self/task').length
    const before = count()
    const { HolySheepStreamingClient, CircuitBreaker } = require('holysheep')
    new HolySheepStreamingClient('sk-test')
    new CircuitBreaker().canExecute()
    console.log(count() - before)`,
  ])
  assert.deepEqual([code, stderr, stdout], [0, '', '0\n'])
})

test("loading the package does not load Node's crypto and TLS modules, which a client may never need", async () => {
  const { code, stdout, stderr } = await node([
    '-e',
    `const before = new Set(process.moduleLoadList)
    const { HolySheepStreamingClient } = require('holysheep')
    new HolySheepStreamingClient('sk-test')
    console.log(process.moduleLoadList.filter((name) => !before.has(name)).join())`,
  ])
  assert.deepEqual([code, stderr], [0, ''])
  assert.doesNotMatch(stdout, /NativeModule (crypto|tls)\b/)
})

for (const condition of ['browser', 'edge-light', 'workerd', 'worker']) {
  test(`under the condition ${condition} the error explains the package and the remedy`, async () => {
    for (const script of [`require('holysheep')`, `import('holysheep')`]) {
      const { code, stderr } = await node([`--conditions=${condition}`, '-e', script])
      assert.equal(code, 1)
      assert.match(stderr, /holysheep is a native addon and runs in Node\.js/)
      assert.match(stderr, /serverExternalPackages/)
    }
  })
}

const PERMISSION = ['--permission', '--experimental-permission'].find((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
)

test('under the permission model the error names --allow-addons, with which everything works', async () => {
  const flags = [PERMISSION, '--allow-fs-read=*', '--no-warnings']
  const refused = await run('', { flags })
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /holysheep .* cannot be loaded: .*permission model.* --allow-addons/)
  const script = `
    for await (const text of client.stream({ messages }).textStream) process.stdout.write(text)
    process.exit()`
  const allowed = await run(script, { flags: [...flags, '--allow-addons'] })
  assert.deepEqual([allowed.code, allowed.stdout, allowed.stderr], [0, 'one two three', ''])
})

test('with --no-addons the error names the flag', async () => {
  const { code, stderr } = await node(['--no-addons', '-e', "require('holysheep')"])
  assert.equal(code, 1)
  assert.match(stderr, /cannot be loaded: .* without --no-addons/)
})
