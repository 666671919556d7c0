// Runs every example of the systems against two simulators: one that plays the scenarios of the example's first line
// (`// simulate: [scenario, …]`), and a healthy backup. The script fails if an example fails, prints nothing or has more
// than 15 lines, or if a row of the README's table lacks its test or its example.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startSimulator } from 'holysheep/simulator'
import { root } from './lib.mjs'

const FOLDER = 'examples/systems'
const MAX_LINES = 15
const TIMEOUT_MS = 30_000
const verbose = process.argv.includes('--verbose')

/** Runs one example. Resolves to its problem, or to null. */
async function problemOf(file) {
  const text = readFileSync(join(root, file), 'utf8')
  const lines = text.trimEnd().split('\n').length
  if (lines > MAX_LINES) return `${lines} lines; the limit is ${MAX_LINES}`
  const script = text.match(/^\/\/ simulate: (.*)$/m)?.[1]
  const [simulator, backup] = [await startSimulator(), await startSimulator()]
  if (script) simulator.script(...JSON.parse(script))
  const { status, output, errors } = await run(file, {
    HOLYSHEEP_API_KEY: 'sk-no-key-needed-here',
    HOLYSHEEP_BASE_URL: simulator.url,
    HOLYSHEEP_BACKUP_URL: backup.url,
  })
  await Promise.all([simulator.close(), backup.close()])
  if (verbose) console.log(`--- ${file}\n${output}${errors}`)
  if (status !== 0) return `exited with ${status}\n${output}${errors}`
  return output.trim() === '' ? 'printed nothing' : null
}

function run(file, env) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [file], { cwd: root, timeout: TIMEOUT_MS, env: { ...process.env, ...env } })
    let [output, errors] = ['', '']
    child.stdout.on('data', (data) => {
      output += data
    })
    child.stderr.on('data', (data) => {
      errors += data
    })
    child.on('error', (error) => resolve({ status: error.message, output, errors }))
    child.on('close', (status, signal) => resolve({ status: status ?? signal, output, errors }))
  })
}

/** The problems of the README's table: each row needs a test and an example, and each example a row. */
function problemsOfTable(files) {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const table = readme.match(/<!-- systems -->([\s\S]*?)<!-- end of systems -->/)?.[1] ?? ''
  const rows = table.split('\n').filter((line) => /^\|(?! *(---|system))/.test(line))
  const problems = rows.length > 0 ? [] : ['README.md has no table of systems']
  const linked = new Set()
  for (const row of rows) {
    const links = [...row.matchAll(/\]\(([^)#]+)/g)].map(([, link]) => link)
    for (const link of links) if (!existsSync(join(root, link))) problems.push(`README.md: ${link} does not exist`)
    for (const kind of ['__test__/', `${FOLDER}/`]) {
      if (!links.some((link) => link.startsWith(kind))) problems.push(`README.md: no ${kind} link in ${row}`)
    }
    for (const link of links) linked.add(link)
  }
  for (const file of files) if (!linked.has(file)) problems.push(`README.md: no row links ${file}`)
  return problems
}

const files = readdirSync(join(root, FOLDER))
  .filter((name) => name.endsWith('.mjs'))
  .map((name) => `${FOLDER}/${name}`)
const only = process.argv.find((argument) => argument.startsWith(FOLDER))
const chosen = only ? [only] : files
let failed = 0
for (const file of chosen) {
  const problem = await problemOf(file)
  if (problem === null) continue
  failed++
  console.error(`${file}: ${problem}`)
}
const tableProblems = only ? [] : problemsOfTable(files)
for (const problem of tableProblems) console.error(problem)
console.log(`${chosen.length - failed} of ${chosen.length} examples ran`)
process.exitCode = failed + tableProblems.length === 0 && chosen.length > 0 ? 0 : 1
