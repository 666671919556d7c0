// What the bench needs and the package does not: the peers, another Node.js and the Rust program.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { INSTALL } from '../scripts/lib.mjs'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

/** Runs a command with its output on stderr, because stdout has the results. */
function run(command, args, cwd) {
  const env = { ...process.env, SCARF_ANALYTICS: 'false' }
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: ['ignore', 2, 2] })
  if (error || status !== 0) throw new Error(`${command} ${args[0]}: ${error?.message ?? `status ${status}`}`)
}

export function installPeers() {
  run('npm', INSTALL, here('.'))
}

/** Why a peer is absent, by the message of its error; undefined for any other error. */
export function absence(message) {
  // A path is a file of this repository, which must exist.
  const [, name] = /^Cannot find (?:package|module) '([^./'][^']*)'/.exec(message) ?? []
  if (name) return `not installed: ${name}`
  return /native binding/.test(message) ? `does not load here: ${message}` : undefined
}

export const ceilingPath = () => here('../target/bench/release/ceiling')

export function buildCeiling() {
  run('cargo', ['build', '--release', '--locked', '--quiet', '--target-dir', here('../target/bench')], here('ceiling'))
}

/** This Node.js and the LTS version that the bench installs, or those of the given major versions. */
export function nodes(majors) {
  const all = [{ version: process.versions.node, path: process.execPath }]
  const lts = here('node_modules/node/bin/node')
  if (existsSync(lts)) {
    const { version } = JSON.parse(readFileSync(here('node_modules/node/package.json'), 'utf8'))
    all.push({ version, path: lts })
  }
  const unique = all.filter((node, at) => all.findIndex(({ version }) => version === node.version) === at)
  if (!majors) return unique
  return majors.map((major) => {
    const found = unique.find(({ version }) => version.split('.')[0] === major)
    const accepted = unique.map(({ version }) => version.split('.')[0]).join(', ')
    if (!found) throw new Error(`--node: got '${major}'; accepted: ${accepted}`)
    return found
  })
}
