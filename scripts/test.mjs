// Runs the tests: `node scripts/test.mjs [rust|js]`, by default both.
import { run, testFiles } from './lib.mjs'

const which = process.argv[2] ?? 'all'
// With the profile of the addon, so that dependencies are built only once.
if (which !== 'js') run('cargo', ['test', '--release', '--locked', '--lib', '--quiet'])
// A test that waits forever must not hold everything up: minutes are more than any file takes.
if (which !== 'rust')
  run(process.execPath, ['--test', '--test-concurrency=2', '--test-timeout=1200000', ...testFiles()])
