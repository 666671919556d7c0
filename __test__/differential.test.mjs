// Randomly mutated streams of many providers: what the `openai` package reads, this package reads too.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ACCEPTED } from '../scripts/differential/accepted.mjs'
import { run } from '../scripts/differential/run.mjs'

for (const seed of [1, 2, 3]) {
  test(`the openai package reads nothing that this package does not: seed ${seed}`, async () => {
    const numbers = Array.from({ length: 150 }, (_, number) => number)
    const found = []
    let complete = 0
    await run({
      seed,
      numbers,
      onCase({ c, results, differences }) {
        if (!results.sdk.error) complete++
        for (const { kind, accepted } of differences) if (!accepted) found.push(`case ${c.number}: ${kind}`)
      },
    })
    // `npm run differential -- --seed N --case K` shows one.
    assert.deepEqual(found, [])
    assert.ok(complete > 100)
  })
}

test('accepted differences are few, each with its own reason', () => {
  assert.ok(ACCEPTED.length <= 16)
  assert.equal(new Set(ACCEPTED.map(({ name }) => name)).size, ACCEPTED.length)
})
