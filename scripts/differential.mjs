// Differential test: randomly mutated streams of many providers, read with the `openai` package and with this one.
//   npm run differential -- --cases 10000 --seed N     10,000 cases from a seed; without one, from a random seed
//   npm run differential -- --seed N --case K          one case: its bytes and all results
//
// Where the `openai` package reads an answer that is complete, this package reads the same one in each of its modes,
// unless the difference is in scripts/differential/accepted.mjs. Where this package fails, its error names a reason that
// holds. Where only this package succeeds, the answer is what the events say.
import { parseArgs } from 'node:util'
import { run } from './differential/run.mjs'

const options = { cases: { type: 'string' }, seed: { type: 'string' }, case: { type: 'string' } }
const { values } = parseArgs({ options })
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
const EXAMPLES = 5

if (values.case === undefined) await all()
else await one(Number(values.case))

async function all() {
  const numbers = Array.from({ length: Number(values.cases ?? 1000) }, (_, number) => number)
  const kinds = { accepted: new Map(), other: new Map() }
  const count = { succeed: 0, fail: 0 }
  await run({
    seed,
    numbers,
    onCase({ c, results, differences }) {
      count[results.sdk.error ? 'fail' : 'succeed']++
      for (const { kind, accepted } of differences) {
        const [list, name] = accepted ? [kinds.accepted, accepted] : [kinds.other, kind]
        const known = list.get(name) ?? []
        if (known.at(-1) !== c.number) known.push(c.number)
        list.set(name, known)
      }
    },
  })
  console.log(
    `${numbers.length} cases, seed ${seed}: the openai package reads ${count.succeed} and fails in ${count.fail}`,
  )
  print('accepted differences', kinds.accepted)
  print('differences', kinds.other)
  if (kinds.other.size > 0) process.exitCode = 1
}

function print(title, kinds) {
  console.log(`\n${title}: ${kinds.size === 0 ? 'none' : ''}`)
  for (const [kind, cases] of [...kinds].sort(([, a], [, b]) => b.length - a.length))
    console.log(`${String(cases.length).padStart(6)}  ${kind}  (--case ${cases.slice(0, EXAMPLES).join(', ')})`)
}

async function one(number) {
  const show = ({ error, lenient, strict }) => ({
    ...(error && { error: `${error.constructor.name} ${error.code}: ${error.message}` }),
    ...(strict && { strict }),
    ...(JSON.stringify(strict) !== JSON.stringify(lenient) && { lenient }),
  })
  await run({
    seed,
    numbers: [number],
    onCase({ c, results, differences }) {
      const { provider, kind, mutations, framing, cuts, intended } = c
      console.log(JSON.stringify({ provider, kind, mutations, framing, cuts }))
      console.log(c.bytes.toString())
      console.log(`intended: ${JSON.stringify(intended)}`)
      for (const [mode, result] of Object.entries(results)) console.log(`${mode}: ${JSON.stringify(show(result))}`)
      console.log(`differences: ${JSON.stringify(differences, null, 1)}`)
    },
  })
}
