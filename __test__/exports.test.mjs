// The declarations match the exports.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import * as esmAi from '../ai-sdk.mjs'
import * as esmFetch from '../fetch.mjs'
import * as esmNames from '../index.mjs'
import * as esmOpenTelemetry from '../opentelemetry.mjs'
import { declarations } from '../scripts/lib.mjs'
import * as esmSimulator from '../simulator.mjs'

const require = createRequire(import.meta.url)
const esm = { ...esmNames }
const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')
const wrappers = declarations('systems').join('\n')
const client = declarations().join('\n')
const types = `${client}\n${wrappers}`

/** The values that declarations export. */
const declared = (text) => [
  ...new Set([...text.matchAll(/^export (?:declare )?(?:class|const|function) (\w+)/gm)].map((m) => m[1])),
]

test('the declarations, CommonJS and ESM have the same exports', () => {
  for (const [text, commonjs, module] of [
    [types, require('../dist/index.js'), esm],
    [read('simulator.d.ts'), require('../dist/simulator.js'), { ...esmSimulator }],
    [read('ai-sdk.d.ts'), require('../dist/ai-sdk/index.js'), { ...esmAi }],
    [read('fetch.d.ts'), require('../dist/fetch/index.js'), { ...esmFetch }],
    [read('opentelemetry.d.ts'), require('../dist/opentelemetry.js'), { ...esmOpenTelemetry }],
  ]) {
    const names = declared(text).sort()
    assert.ok(names.length >= 1)
    assert.deepEqual(Object.keys(commonjs).sort(), names)
    assert.deepEqual(Object.keys(module).sort(), names)
    for (const name of names) assert.equal(module[name], commonjs[name], name)
  }
})

/** Members for Node.js and for other copies of the package. */
const INTERNAL = ['constructor', Symbol.for('nodejs.util.inspect.custom'), Symbol.for('holysheep.brand')]

test('every declared member exists, and every public member is declared', () => {
  for (const name of ['HolySheepStreamingClient', 'ChatStream', 'CircuitBreaker', 'RateLimitedClient']) {
    const bodyOf = (head) => types.match(new RegExp(`^export ${head}\\b[^{]*\\{\\n([\\s\\S]*?)^\\}`, 'm'))[1]
    const [, parent] = types.match(new RegExp(`^export interface ${name} extends (\\w+)`, 'm')) ?? []
    const body = bodyOf(`class ${name}`) + (parent ? bodyOf(`interface ${parent}`) : '')
    const members = new Set(
      [...body.matchAll(/^ {2}(?:readonly |get |set )?(\w+|\[Symbol\.\w+\])[(<:?]/gm)]
        .map((m) => m[1])
        .filter((n) => n !== 'constructor'),
    )
    const actual = Reflect.ownKeys(esm[name].prototype)
      .filter((key) => !INTERNAL.includes(key))
      .map((key) => (typeof key === 'symbol' ? `[${key.description.replace('nodejs.', 'Symbol.')}]` : key))
    assert.deepEqual(actual.sort(), [...members].sort(), name)
  }
})

test('every error has its declared class, name and ancestors', () => {
  const parents = [...client.matchAll(/^export class (\w*Error) extends (\w+)/gm)]
  assert.ok(parents.length >= 11)
  for (const [, name, parent] of parents) {
    const error = new esm[name]('what happened', { cause: 1 })
    assert.ok(error instanceof Error && error instanceof (esm[parent] ?? Error))
    assert.deepEqual([error.name, error.message, error.cause, error.attempts], [name, 'what happened', 1, []])
    assert.equal(Object.getPrototypeOf(esm[name]).name, parent)
  }
})

test('an unsupported runtime has every export name, and the error explains what is supported', () => {
  const { exports } = JSON.parse(read('package.json'))
  const unsupported = read('unsupported.js')
  for (const [subpath, entry] of Object.entries(exports)) {
    if (typeof entry === 'string') continue
    for (const condition of ['browser', 'edge-light', 'workerd', 'worker']) {
      assert.equal(entry[condition], './unsupported.js', `${subpath} ${condition}`)
      assert.ok(Object.keys(entry).indexOf(condition) < Object.keys(entry).indexOf('import'))
    }
    for (const name of Object.keys(require(`.${entry.require.default}`))) {
      assert.match(unsupported, new RegExp(`^exports\\.${name} = undefined$`, 'm'))
    }
  }
  assert.throws(() => require('../unsupported.js'), /runs in Node\.js 20 or later/)
})
