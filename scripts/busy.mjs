// Runs the JavaScript tests repeatedly while other processes keep every core busy. A test that fails only here depends on
// the speed of the machine.
//   node scripts/busy.mjs [--runs 3] [--spinners 1] [FILE…]   the number of runs, and of busy processes per core
import { spawn } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { run } from 'node:test'
import { parseArgs } from 'node:util'
import { root, testFiles } from './lib.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '3' }, spinners: { type: 'string', default: '1' } },
})
const files = (positionals.length > 0 ? positionals : testFiles()).map((file) => join(root, file))

// It exits when its parent is gone, because a parent that was killed cannot stop it.
const SPINNER = `
  const { ppid } = process
  while (process.ppid === ppid) for (const end = Date.now() + 500; Date.now() < end; );
`
const spinners = Array.from({ length: Number(values.spinners) * availableParallelism() }, () =>
  spawn(process.execPath, ['-e', SPINNER], { stdio: 'ignore' }),
)
const interrupted = new AbortController()
// The test runner adds a listener for each file.
setMaxListeners(0, interrupted.signal)
process.on('exit', () => {
  for (const spinner of spinners) spinner.kill('SIGKILL')
})
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, () => {
    interrupted.abort()
    process.exit(code)
  })
}

/** Runs the tests once and returns the number that passed and the failures. */
async function once() {
  const result = { passed: 0, failures: [] }
  for await (const { type, data } of run({ files, concurrency: 2, signal: interrupted.signal })) {
    const isSuite = data.details?.type === 'suite'
    if (type === 'test:pass' && !isSuite && !data.skip) result.passed++
    // A suite or a file fails with its subtests, which are reported themselves.
    // A todo is expected to fail.
    if (type === 'test:fail' && data.todo === undefined && data.details.error.failureType !== 'subtestsFailed') {
      const { error } = data.details
      const message = error.cause?.message ?? error.message
      result.failures.push(
        `${relative(root, data.file ?? '')}: ${data.name}\n    ${`${message}`.split('\n').join('\n    ')}`,
      )
    }
  }
  return result
}

let failed = 0
for (let number = 1; number <= Number(values.runs); number++) {
  const started = Date.now()
  const { passed, failures } = await once()
  failed += failures.length
  const seconds = ((Date.now() - started) / 1000).toFixed(0)
  console.log(`run ${number} of ${values.runs}: ${passed} passed, ${failures.length} failed (${seconds} s)`)
  for (const failure of failures) console.log(`  ${failure}`)
}
process.exit(failed === 0 ? 0 : 1)
