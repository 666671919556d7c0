// The tests: `node scripts/test.mjs [rust|js]`, both without an argument.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './lib.mjs'

const which = process.argv[2] ?? 'all'
// The profile of the addon, so that dependencies are built once.
if (which !== 'js') run('cargo', ['test', '--release', '--locked', '--lib', '--quiet'])
if (which !== 'rust') {
  const files = ['__test__', '__test__/systems', '__test__/fetch'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.test.mjs'))
      .map((name) => join(folder, name)),
  )
  run(process.execPath, ['--test', '--test-concurrency=2', ...files])
}
