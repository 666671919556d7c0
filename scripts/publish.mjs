// Publishes the packages of `npm run pack -- --all` with provenance: those of the platforms, then the main package, so
// that none is published before its dependencies. `node scripts/publish.mjs v0.1.0` (the tag must match the packages'
// version). Packages that are published already are skipped, so that an interrupted release can be run again.
// `--dry-run` does everything except publish.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './lib.mjs'
import { manifest, platforms } from './platforms.mjs'

const dryRun = process.argv.includes('--dry-run')
const tag = process.argv.slice(2).find((argument) => !argument.startsWith('--'))
const packages = JSON.parse(readFileSync(join(root, 'pack/packages.json'), 'utf8'))
const tarball = ({ name, version }) => join(root, 'pack', `${name}-${version}.tgz`)

const problems = packages
  .filter((entry) => !existsSync(tarball(entry)))
  .map((entry) => `${tarball(entry)} does not exist`)
if (tag !== `v${manifest.version}`) problems.push(`the tag: got '${tag}'; accepted: 'v${manifest.version}'`)
if (packages.length !== platforms.length + 1) problems.push(`pack/packages.json: ${packages.length} packages`)
if (packages.at(-1)?.name !== manifest.name) problems.push('pack/packages.json: the main package is not last')
for (const { name, version, repository } of packages) {
  if (version !== manifest.version) problems.push(`${name} has version ${version}`)
  if (!repository) problems.push(`${name} has no repository; provenance needs one (set GITHUB_REPOSITORY when packing)`)
}
if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exit(1)
}

/** Versions with a hyphen are prereleases, which `npm install` does not choose. */
const channel = manifest.version.includes('-') ? 'next' : 'latest'
for (const entry of packages) {
  const id = `${entry.name}@${entry.version}`
  if (!dryRun && spawnSync('npm', ['view', id, 'version'], { encoding: 'utf8' }).stdout?.trim() === entry.version) {
    console.log(`${id} is already published`)
    continue
  }
  const flags = ['--provenance', '--access', 'public', '--tag', channel, ...(dryRun ? ['--dry-run'] : [])]
  run('npm', ['publish', tarball(entry), ...flags])
}
