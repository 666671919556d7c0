// The documented defaults match the actual ones.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { declarations } from '../scripts/lib.mjs'

const require = createRequire(import.meta.url)
const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')
const client = declarations().join('\n')
/** `lastRoute` has the defaults that differ on the last route left. */
const { lastRoute, ...defaults } = JSON.parse(require('../dist/native.js').addon.defaults())

describe('the defaults', () => {
  /** Interface → its actual defaults. */
  const actualDefaults = {
    CallOptions: defaults,
    ClientOptions: defaults,
    Endpoint: defaults.endpoint,
    RetryOptions: defaults.retry,
    ConnectionResetOptions: defaults.connectionReset,
    HedgeOptions: defaults.hedging,
    RetryBudgetOptions: defaults.retryBudget,
    CircuitBreakerOptions: defaults.circuitBreaker,
    RateLimitOptions: defaults.rateLimit,
    RecoveryOptions: defaults.recovery,
    CostOptions: defaults.cost,
  }
  /** Interfaces whose defaults are not options of a client; other tests check them. */
  const elsewhere = ['SnapshotOptions', 'ReadableStreamOptions', 'TextResponseInit', 'PipeOptions']
  const found = {}
  for (const [, name, body] of client.matchAll(/^export interface (\w+)[^{]*\{\n([\s\S]*?)^\}/gm)) {
    if (elsewhere.includes(name)) continue
    for (const [, text, option] of body.matchAll(/@default (.*?)\s*\*\/\n {2}(\w+)/g)) {
      found[name] = { ...found[name], [option]: Function(`return (${text})`)() }
    }
  }

  test('in the declarations match those in effect', () => {
    assert.deepEqual(Object.keys(found).sort(), Object.keys(actualDefaults).sort())
    for (const [name, options] of Object.entries(found)) {
      for (const [option, value] of Object.entries(options))
        assert.deepEqual(value, actualDefaults[name][option], `${name}.${option}`)
    }
  })

  test('in effect are all declared', () => {
    const declaredDefaults = Object.assign({}, found.CallOptions, found.ClientOptions)
    for (const [option, value] of Object.entries(defaults)) {
      if (typeof value !== 'object') assert.deepEqual(declaredDefaults[option], value, option)
    }
    for (const [name, values] of [
      ['Endpoint', defaults.endpoint],
      ['RetryOptions', defaults.retry],
      ['ConnectionResetOptions', defaults.connectionReset],
      ['HedgeOptions', defaults.hedging],
      ['RetryBudgetOptions', defaults.retryBudget],
      ['CircuitBreakerOptions', defaults.circuitBreaker],
      ['RateLimitOptions', defaults.rateLimit],
      ['RecoveryOptions', defaults.recovery],
      ['CostOptions', defaults.cost],
    ]) {
      assert.deepEqual(found[name], values)
    }
  })
})

describe('the defaults in the table of', () => {
  /** Where the defaults of options in an object are, if not under its name. */
  const objects = {
    'endpoints[]': defaults.endpoint,
    'retry.connectionReset': defaults.connectionReset,
    hedge: defaults.hedging,
  }
  const effective = (option) => {
    const [, object, name] = option.match(/^(?:(.+)\.)?(\w+)$/)
    return (object === undefined ? defaults : (objects[object] ?? defaults[object]))[name]
  }
  const tableOf = (page) => {
    const [, table] = read(page).match(/^\| option \| default \| .*\n\| ---.*\n((?:\|.*\n)+)/m)
    return table
      .trimEnd()
      .split('\n')
      .map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()))
  }

  for (const page of ['README.md', 'docs/options.md']) {
    test(`${page} are those in effect`, () => {
      const rows = tableOf(page)
      assert.ok(rows.length > 10)
      for (const [, options, preset] of rows) {
        for (const [, option] of options.matchAll(/`([^`]+)`/g)) {
          const value = effective(option)
          const [first, ...later] = preset.split('; ')
          if (first === '' || first === 'none') {
            // The options of an object are listed one by one.
            if (typeof value !== 'object') assert.equal(value, undefined, option)
          } else if (first.includes('HOLYSHEEP_')) {
            assert.ok(option === 'apiKey' || option === 'baseUrl', option)
          } else {
            const documented = Function(`return (${first.replaceAll('`', '')})`)()
            if (typeof documented === 'object') assert.deepEqual({ ...value, ...documented }, value, option)
            else assert.equal(documented, value, option)
          }
          const onLastRoute = later.map((text) => Number(text.match(/^(\d+) on the last remaining route$/)?.[1]))
          if (page === 'README.md')
            assert.deepEqual(onLastRoute, option in lastRoute ? [lastRoute[option]] : [], option)
        }
      }
    })
  }
})

test('the default style in docs/recovery.md is that in effect', () => {
  assert.equal(read('docs/recovery.md').match(/`recovery\.style: '(\w+)'`, the default/)[1], defaults.recovery.style)
})
