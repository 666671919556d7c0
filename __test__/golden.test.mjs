// The contract with the HolySheep tutorials: every class, method, option, property, result field, default and fixed string
// in them exists, with the same meaning. The lists are in `golden/`; this test ignores everything else that the package has.
import './golden/environment.mjs'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import * as names from '../index.mjs'
import { declarations } from '../scripts/lib.mjs'
import { CALLS, METHOD_OPTIONS } from './golden/calls.mjs'
import { CLASSES, FUNCTIONS, KEY } from './golden/classes.mjs'
import { differences, outcome, same } from './golden/match.mjs'
import { startProvider } from './golden/provider.mjs'
// Importing these files registers their tests.
import './golden/breaker-and-router.mjs'
import './golden/rules.mjs'
import './golden/times.mjs'

const H = { ...names }
const isRejection = { code: 'INVALID_ARGUMENT' }
/** The arguments of a constructor, with the options at their position. */
const withOptions = (at, options) => [...[KEY, undefined].slice(0, at), options]

for (const [name, golden] of Object.entries(CLASSES)) {
  describe(name, () => {
    const {
      properties = {},
      writable = {},
      methods,
      constructs = [],
      options = {},
      optionsAt = 1,
      refuses = [],
    } = golden
    const args = golden.args ?? [KEY]
    const make = (values = args) => new H[name](...values)

    test(`${name} is exported and declared`, () => {
      assert.equal(typeof H[name], 'function', `${name} is not exported`)
      assert.match(
        declarations('systems').concat(declarations()).join('\n'),
        new RegExp(`^export class ${name}\\b`, 'm'),
      )
    })

    for (const method of methods) {
      test(`${name}.${method}() is a method`, () => {
        assert.equal(typeof H[name].prototype[method], 'function', `${name}.${method}() is missing`)
      })
    }

    for (const [property, value] of Object.entries(properties)) {
      test(`${name}.${property} has the tutorial’s default`, () => same(`${name}.${property}`, make()[property], value))
    }

    for (const property of golden.hidden ?? []) {
      test(`${name}.${property} is not enumerable and never printed`, () => {
        const made = make()
        assert.ok(!Object.keys(made).includes(property), `${name}.${property} is enumerable`)
        assert.ok(!inspect(made, { showHidden: true, depth: 9 }).includes(KEY), `${name}.${property} is printed`)
        assert.ok(!JSON.stringify(made).includes(KEY), `${name}.${property} is in its JSON`)
      })
    }

    for (const [property, [good, bad]] of Object.entries(writable)) {
      test(`${name}.${property} is writable and validated`, () => {
        const made = make()
        made[property] = good
        if (typeof good === 'object') assert.equal(made[property], good)
        else same(`${name}.${property}`, property === 'tokens' ? Math.floor(made[property]) : made[property], good)
        const set = () => {
          made[property] = bad
        }
        assert.throws(set, isRejection, `${name}.${property} accepts ${inspect(bad)}`)
      })
    }

    for (const form of constructs) {
      test(`new ${name}(${form.args.map((arg) => inspect(arg)).join(', ')})`, () => {
        same(`new ${name}(…)`, make(form.args), form.properties)
      })
    }

    for (const [option, value] of Object.entries(options)) {
      test(`${name} accepts the option ${option}, and rejects a misspelling`, () => {
        assert.doesNotThrow(
          () => make(withOptions(optionsAt, { [option]: value })),
          `${name} rejects the option ${option}`,
        )
        assert.throws(
          () => make(withOptions(optionsAt, { [`${option}Golden`]: value })),
          isRejection,
          `${name} accepts an option that does not exist`,
        )
      })
    }

    for (const values of refuses) {
      test(`new ${name}(${values.map((arg) => inspect(arg)).join(', ')}) is rejected`, () => {
        assert.throws(
          () => make(values),
          (error) => !differences('', error, isRejection).length && !/sk-a/.test(error.message),
        )
      })
    }
  })
}

for (const [entry, functions] of Object.entries(FUNCTIONS)) {
  for (const name of functions) {
    test(`${name}() is exported by ${entry}`, async () => {
      assert.equal(typeof (await import(`../${entry}`))[name], 'function', `${name}() is missing in ${entry}`)
    })
  }
}

describe('calls', { concurrency: 8 }, () => {
  for (const [name, golden] of Object.entries(CALLS)) {
    test(name, { timeout: 30_000 }, async (t) => {
      const provider = await startProvider(t, golden)
      const told = []
      const tell =
        (callback) =>
        (...args) =>
          void told.push([callback, ...args])
      const { resolved, rejected } = await outcome((async () => golden.run({ H, url: provider.url, provider, tell }))())
      if (golden.rejects) {
        same('the error', rejected, golden.rejects)
        same('the error', rejected, Error)
      } else {
        assert.equal(rejected, undefined, `it rejected: ${rejected?.stack}`)
        same('the result', resolved, golden.resolves)
      }
      if (golden.asked !== undefined) same('the number of requests', provider.requests.length, golden.asked)
      if (golden.sent) same('the requests', provider.requests, golden.sent)
      if (golden.told) same('the callbacks', told, golden.told)
      if (golden.last) same('the last callback', told.at(-1), golden.last)
      if (golden.text !== undefined) {
        const pieces = told.filter(([callback]) => callback === 'onProgress').map(([, content]) => content)
        same('the text', pieces.join(''), golden.text)
      }
      if (typeof resolved?.error === 'object')
        assert.ok(resolved.error instanceof Error, 'result.error is not an Error')
      if (resolved?.success === false && typeof resolved.error === 'string') same('result.cause', resolved.cause, Error)
    })
  }
})

test('every result field and option of the HolySheep tutorials is declared', () => {
  const types = declarations('systems').concat(declarations()).join('\n')
  const named = new Set()
  const name = (fields) => {
    if (Object.getPrototypeOf(fields ?? '') === Object.prototype) for (const key of Object.keys(fields)) named.add(key)
  }
  for (const { resolves } of Object.values(CALLS)) for (const result of [resolves].flat()) name(result)
  for (const { options } of Object.values(METHOD_OPTIONS)) name(options)
  for (const { properties, options } of Object.values(CLASSES)) for (const fields of [properties, options]) name(fields)
  // Names of models, fields of Error, and fields that the calls above compose themselves.
  const others = ['name', 'message', 'body', 'text', 'first', 'same', 'other']
  const missing = [...named].filter(
    (field) => !others.includes(field) && !new RegExp(`\\b${field}\\b[?(:]`).test(types),
  )
  assert.deepEqual(missing, [])
})

describe('options of methods', { concurrency: 8 }, () => {
  for (const [name, { call, options }] of Object.entries(METHOD_OPTIONS)) {
    for (const [option, value] of Object.entries(options)) {
      test(`${name} accepts the option ${option}, and rejects a misspelling`, async (t) => {
        const provider = await startProvider(t)
        const accepted = await outcome((async () => call(H, provider.url, { [option]: value }))())
        assert.equal(
          accepted.rejected,
          undefined,
          `${name} rejects the option ${option}: ${accepted.rejected?.message}`,
        )
        const rejected = await outcome((async () => call(H, provider.url, { [`${option}Golden`]: value }))())
        same(`${name} with an option that does not exist`, rejected.rejected, isRejection)
      })
    }
  }
})
