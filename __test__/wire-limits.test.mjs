// The size of one event is bounded.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pair, REQUEST } from './support/provider.mjs'
import { assertFailure, assertText } from './support/wire.mjs'

const LARGE = 'x'.repeat(3 << 20)

test('an event of several MiB is read (images)', (t) => assertText(t, [{ chunks: [LARGE, '!'] }], `${LARGE}!`))

test('an event above maxEventBytes is RESPONSE_TOO_LARGE, and is not requested again', (t) =>
  assertFailure(t, [{ chunks: [LARGE] }], /RESPONSE_TOO_LARGE|too large|longer than/i, { maxEventBytes: 1 << 20 }))

test('the limit applies to one event and not to the answer', async (t) => {
  const { simulator, client } = await pair(t, { maxEventBytes: 2048 })
  simulator.setDefault({ text: 'y'.repeat(1024), repeat: 64 })
  assert.equal((await client.chat(REQUEST)).choices[0].message.content.length, 64 * 1024)
})
