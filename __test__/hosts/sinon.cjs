// Fakes everything that Sinon can fake, before or after the package is loaded.
const assert = require('node:assert/strict')
const { install } = require('@sinonjs/fake-timers')
const { exercise, expected } = require('./exercise.cjs')
const { load } = require('./load.cjs')

async function main() {
  const isFirst = process.argv[2] === 'before'
  if (isFirst) install()
  const holysheep = load(require)
  if (!isFirst) install()
  const results = await exercise(holysheep)
  assert.deepEqual(results, expected(results))
  require('node:fs').writeSync(1, 'done\n')
}

main().then(
  () => process.exit(0),
  (error) => {
    require('node:fs').writeSync(2, `${error.stack}\n`)
    process.exit(1)
  },
)
