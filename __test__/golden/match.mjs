// Compares actual values with those of the HolySheep tutorials.
import assert from 'node:assert/strict'
import { inspect } from 'node:util'

const TYPES = new Map([
  [String, 'string'],
  [Number, 'number'],
  [Boolean, 'boolean'],
  [Function, 'function'],
  [Object, 'object'],
])
const show = (value) => inspect(value, { depth: 2, breakLength: Number.POSITIVE_INFINITY }).split('\n')[0]

/**
 * The differences between `actual` and `expected`, each with its path. `String`, `Number`, `Boolean`, `Function`, `Object`
 * stand for any value of that type, `Error` for any error; a RegExp must match a string. Of an object only the expected
 * fields are compared: a result may have more than in the tutorials.
 */
export function differences(path, actual, expected) {
  if (expected === Error) return actual instanceof Error ? [] : [`${path}: ${show(actual)} is not an Error`]
  if (TYPES.has(expected)) {
    const type = TYPES.get(expected)
    const fits = typeof actual === type && actual !== null
    return fits
      ? []
      : [`${path}: ${actual === undefined ? 'is missing' : `${show(actual)} is not a value of type ${type}`}`]
  }
  if (expected instanceof RegExp) {
    const fits = typeof actual === 'string' && expected.test(actual)
    return fits ? [] : [`${path}: ${show(actual)} does not match ${expected}`]
  }
  if (typeof expected !== 'object' || expected === null) {
    if (Object.is(actual, expected)) return []
    return [`${path}: ${actual === undefined ? 'is missing' : `is ${show(actual)}`}, expected ${show(expected)}`]
  }
  if (typeof actual !== 'object' || actual === null) {
    return [`${path}: ${actual === undefined ? 'is missing' : `is ${show(actual)}`}, expected ${show(expected)}`]
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) {
      return [`${path}: is ${show(actual)}, expected ${expected.length} entries: ${show(expected)}`]
    }
    return expected.flatMap((entry, index) => differences(`${path}[${index}]`, actual[index], entry))
  }
  return Object.entries(expected).flatMap(([key, value]) => differences(`${path}.${key}`, actual[key], value))
}

export function same(path, actual, expected) {
  const found = differences(path, actual, expected)
  assert.ok(found.length === 0, found.join('\n'))
}

/** `{ resolved }` or `{ rejected }`. */
export async function outcome(promise) {
  try {
    return { resolved: await promise }
  } catch (rejected) {
    return { rejected }
  }
}
