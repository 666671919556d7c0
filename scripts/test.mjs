// The tests: `node scripts/test.mjs [rust|js]`, both without an argument.
import { run, testFiles } from './lib.mjs'

const which = process.argv[2] ?? 'all'
// The profile of the addon, so that dependencies are built once.
if (which !== 'js') run('cargo', ['test', '--release', '--locked', '--lib', '--quiet'])
if (which !== 'rust') run(process.execPath, ['--test', '--test-concurrency=2', ...testFiles()])
