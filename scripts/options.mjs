// Generates the table of options in docs/options.md, between its markers, from the comments in types/.
// `--check` only compares.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { declarations, root } from './lib.mjs'

const types = declarations().join('\n')
const INTERFACES = [
  ['ClientOptions', ''],
  ['CallOptions', ''],
  ['Endpoint', 'endpoints[].'],
  ['RecoveryOptions', 'recovery.'],
  ['RetryOptions', 'retry.'],
  ['ConnectionResetOptions', 'retry.connectionReset.'],
  ['HedgeOptions', 'hedge.'],
  ['RetryBudgetOptions', 'retryBudget.'],
  ['CircuitBreakerOptions', 'circuitBreaker.'],
  ['RateLimitOptions', 'rateLimit.'],
  ['CostOptions', 'cost.'],
]

/** The members of an interface with their comments, in order. */
function members(name) {
  const body = types.match(new RegExp(`export interface ${name}[^{]*\\{\\n([\\s\\S]*?)\\n\\}`))?.[1]
  if (!body) throw new Error(`types/ has no interface ${name}`)
  const found = []
  for (const [, comment = '', member] of body.matchAll(/(?:^ {2}\/\*\*([\s\S]*?)\*\/\n)?^ {2}(\w+)\??[:(]/gm)) {
    const text = comment
      .replace(/\n\s*\*/g, ' ')
      .replace(/\s+/g, ' ')
      .trim()
    const [description, preset] = text.split('@default').map((part) => part.trim())
    found.push({ member, description: description.replaceAll('|', '\\|'), preset })
  }
  return found
}

const rows = INTERFACES.flatMap(([name, prefix]) =>
  members(name).map(
    ({ member, description, preset }) =>
      `| \`${prefix}${member}\` | ${preset ? `\`${preset}\`` : ''} | ${description} |`,
  ),
)
const table = ['| option | default | what it is |', '| --- | --- | --- |', ...rows].join('\n')

const path = join(root, 'docs/options.md')
const page = readFileSync(path, 'utf8')
const between = /(<!-- options: made from types\/ by scripts\/options.mjs -->\n)[\s\S]*?(<!-- end of options -->)/
if (!between.test(page)) throw new Error('docs/options.md has no markers for the options')
const current = page.replace(between, (_all, start, end) => `${start}\n${table}\n\n${end}`)

if (process.argv.includes('--check')) {
  if (current !== page) {
    console.error('docs/options.md is out of date; run node scripts/options.mjs')
    process.exit(1)
  }
} else {
  writeFileSync(path, current)
}
