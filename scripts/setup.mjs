// Sets up a fresh clone for the demo and the tests: dependencies, the addon and the compiled
// TypeScript. What is current is not rebuilt.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { INSTALL, root, run } from './lib.mjs'

if (Number(process.versions.node.split('.')[0]) < 20) {
  console.error(`Node.js 20 or later is needed; this is ${process.versions.node}`)
  process.exit(1)
}

// npm stores the lock file of the installed packages in node_modules.
const installed = join(root, 'node_modules/.package-lock.json')
const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
const current = existsSync(installed) ? JSON.parse(readFileSync(installed, 'utf8')).packages : {}
const missing = Object.entries(wanted).some(
  ([name, { version, optional }]) => name !== '' && !optional && current[name]?.version !== version,
)
if (missing) run('npm', INSTALL)
run(process.execPath, ['scripts/build.mjs'])
