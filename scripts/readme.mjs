// Writes the table of options into the README out of the comments in types/, between its markers.
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

const path = join(root, 'README.md')
const readme = readFileSync(path, 'utf8')
const between = /(<!-- options: made from types\/ by scripts\/readme.mjs -->\n)[\s\S]*?(<!-- end of options -->)/
if (!between.test(readme)) throw new Error('README.md has no markers for the options')
const current = readme.replace(between, (_all, start, end) => `${start}\n${table}\n\n${end}`)

if (process.argv.includes('--check')) {
  if (current !== readme) {
    console.error('README.md: the table of options is old; run node scripts/readme.mjs')
    process.exit(1)
  }
} else {
  writeFileSync(path, current)
}
