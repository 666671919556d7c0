// Everything that demo and tests need, from a fresh clone: packages, the addon, the compiled
// TypeScript. What is there already and current is left alone.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { INSTALL, root, run } from './lib.mjs'

if (Number(process.versions.node.split('.')[0]) < 20) {
  console.error(`Node.js 20 or later is needed; this is ${process.versions.node}`)
  process.exit(1)
}

// npm writes the lock file that it has installed from beside the packages.
const installed = join(root, 'node_modules/.package-lock.json')
const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
const current = existsSync(installed) ? JSON.parse(readFileSync(installed, 'utf8')).packages : {}
const missing = Object.entries(wanted).some(
  ([name, { version, optional }]) => name !== '' && !optional && current[name]?.version !== version,
)
if (missing) run('npm', INSTALL)
run(process.execPath, ['scripts/build.mjs'])
