// Fuzzes the pure part of the core with libFuzzer: `npm run fuzz -- [--seconds 60] [--target NAME]…`.
// Replays `fuzz/corpus`, then divides the time among the targets. `--seconds 0` only replays; `--target NAME --input FILE`
// replays one input. Inputs that reach new code are saved in `target/fuzz/corpus`, where the next run starts.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { output, root, run } from './lib.mjs'

const TARGETS = ['sse', 'chat', 'messages', 'responses', 'splice', 'snapshot', 'options']

// Coverage from the LLVM passes of the stable toolchain, without a sanitizer. An explicit target (`--target`) excludes build
// scripts.
const RUSTFLAGS = [
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Ccodegen-units=1',
]

/** An input that takes longer or needs more memory is a failure. */
const LIMITS = ['-timeout=10', '-rss_limit_mb=1024', '-max_len=16384']

function fail(message) {
  console.error(message)
  process.exit(2)
}

function options() {
  try {
    return parseArgs({
      options: {
        seconds: { type: 'string', default: '60' },
        target: { type: 'string', multiple: true },
        input: { type: 'string' },
      },
    }).values
  } catch (error) {
    return fail(error.message)
  }
}

const { seconds: text, target: targets = TARGETS, input } = options()
const seconds = Number(text)
if (!Number.isInteger(seconds) || seconds < 0) fail(`--seconds: got ${text}; accepted: a whole number from 0`)
const unknown = targets.find((target) => !TARGETS.includes(target))
if (unknown !== undefined) fail(`--target: got ${unknown}; accepted: ${TARGETS.join(', ')}`)
if (input !== undefined && targets.length !== 1) fail('--input: needs exactly one --target')

const host = output('rustc', ['-vV']).match(/^host: (.+)$/m)[1]
const work = join(root, 'target', 'fuzz')
const built = process.env.CARGO_TARGET_DIR ? join(resolve(process.env.CARGO_TARGET_DIR), 'fuzz') : work
run(
  'cargo',
  [
    'build',
    '--release',
    '--locked',
    ...['--manifest-path', 'fuzz/Cargo.toml'],
    ...['--target', host],
    ...['--target-dir', built],
    ...targets.flatMap((target) => ['--bin', target]),
  ],
  { env: { ...process.env, RUSTFLAGS: RUSTFLAGS.join(' '), CARGO_ENCODED_RUSTFLAGS: undefined } },
)

/** Runs a target. Shows its output only if it fails. */
function libfuzzer(target, args) {
  const { status, signal, stderr, error } = spawnSync(join(built, host, 'release', target), [...LIMITS, ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    maxBuffer: 1 << 28,
  })
  if (error) fail(`${target}: ${error.message}`)
  if (status !== 0) console.log(stderr.split('\n').slice(-60).join('\n'))
  return { ok: status === 0, ended: signal ?? `status ${status}`, log: stderr }
}

function replay(target, files) {
  for (const file of files) {
    const { ok, ended } = libfuzzer(target, [file])
    if (!ok) {
      console.log(`${target}: FAILED with ${relative(root, file)} (${ended})`)
      return false
    }
  }
  console.log(`${target}: ${files.length} inputs replayed`)
  return true
}

function fuzz(target, time) {
  const [corpus, crashes] = ['corpus', 'crashes'].map((name) => join(work, name, target))
  for (const folder of [corpus, crashes]) mkdirSync(folder, { recursive: true })
  const dictionary = join(root, 'fuzz', 'dictionaries', `${target}.dict`)
  const { ok, ended, log } = libfuzzer(target, [
    `-max_total_time=${time}`,
    `-dict=${dictionary}`,
    `-artifact_prefix=${crashes}/`,
    corpus,
    join(root, 'fuzz', 'corpus', target),
  ])
  if (!ok) {
    const found = log.match(/Test unit written to (.+)$/m)?.[1]
    console.log(`${target}: FAILED (${ended})`)
    if (found) console.log(`replay: npm run fuzz -- --target ${target} --input ${relative(root, found)}`)
    return false
  }
  const [, runs, coverage] = log.match(/#(\d+)\s+DONE\s+cov: (\d+)/) ?? []
  console.log(`${target}: ${runs} runs in ${time} s, coverage ${coverage}`)
  return true
}

const seeds = (target) => {
  const folder = join(root, 'fuzz', 'corpus', target)
  return readdirSync(folder).map((name) => join(folder, name))
}

let ok = true
if (input !== undefined) {
  readFileSync(input)
  ok = replay(targets[0], [resolve(input)])
} else {
  for (const target of targets) ok = replay(target, seeds(target)) && ok
  for (const [index, target] of targets.entries()) {
    // Rounded sums, so that the shares add up to the given time.
    const end = (count) => Math.round((seconds * count) / targets.length)
    const time = end(index + 1) - end(index)
    if (time > 0) ok = fuzz(target, time) && ok
  }
}
process.exit(ok ? 0 : 1)
