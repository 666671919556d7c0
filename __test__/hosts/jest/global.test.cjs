const { exercise, expected } = require('../exercise.cjs')
const { load } = require('../load.cjs')

test('fake timers that the configuration enables', async () => {
  expect(setTimeout.clock).toBeDefined()
  const results = await exercise(load(require))
  expect(results).toEqual(expected(results))
}, 60_000)
