// A panic in a synchronous function would end the process, unless the export catches it.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/child.mjs'

/** The exported functions of a Rust file, each with its attribute. */
function exportsOf(source) {
  const found = source.matchAll(/#\[napi\b([^\]]*)\]((?:\s*#\[[^\]]*\]|\s*\/\/[^\n]*)*)\s*pub (?:async )?(\w+) (\w+)/g)
  return [...found].filter(([, , , item]) => item === 'fn').map(([, attribute, , , name]) => ({ attribute, name }))
}

test('every export of the addon turns a panic into an error', () => {
  const folder = join(root, 'src/binding')
  let count = 0
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.rs'))) {
    for (const { attribute, name } of exportsOf(readFileSync(join(folder, file), 'utf8'))) {
      assert.match(attribute, /\bcatch_unwind\b/, `${file}: ${name} needs #[napi(catch_unwind)]`)
      count++
    }
  }
  assert.ok(count > 80, `${count} exports were found`)
})
