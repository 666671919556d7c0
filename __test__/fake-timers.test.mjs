// The package works while a test has faked the globals, whenever it did. Jest, Vitest and Sinon: hosts/.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { node } from './support/child.mjs'

const program = fileURLToPath(new URL('support/faked.cjs', import.meta.url))

for (const [which, description] of [
  ['all', 'every timer and clock is fake'],
  ['node', "node:test's timers are enabled"],
  ['window', 'the globals are those of a window'],
]) {
  for (const when of ['before', 'after']) {
    test(`everything works if ${description} ${when} the package is loaded`, async () => {
      const { code, stdout, stderr } = await node([program, when, which])
      // A process whose call never settles exits early, with nothing printed.
      assert.deepEqual([code, stdout], [0, 'done\n'], stderr)
    })
  }
}
