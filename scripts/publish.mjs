// Publishes what `npm run pack -- --all` made, with provenance: the packages of the platforms, then the main package, so
// that none is there before what it depends on. `node scripts/publish.mjs v0.1.0` (the tag must be of the packages'
// version). What is published already is left alone, so that a release which broke off can be run again.
// `--dry-run` does all but publish.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './lib.mjs'
import { manifest, platforms } from './platforms.mjs'

const dryRun = process.argv.includes('--dry-run')
const tag = process.argv.slice(2).find((argument) => !argument.startsWith('--'))
const packages = JSON.parse(readFileSync(join(root, 'pack/packages.json'), 'utf8'))
const tarball = ({ name, version }) => join(root, 'pack', `${name}-${version}.tgz`)

const problems = packages.filter((one) => !existsSync(tarball(one))).map((one) => `${tarball(one)} is not there`)
if (tag !== `v${manifest.version}`) problems.push(`the tag: got '${tag}'; accepted: 'v${manifest.version}'`)
if (packages.length !== platforms.length + 1) problems.push(`pack/packages.json: ${packages.length} packages`)
if (packages.at(-1)?.name !== manifest.name) problems.push('pack/packages.json: the main package is not the last')
for (const { name, version, repository } of packages) {
  if (version !== manifest.version) problems.push(`${name} is of version ${version}`)
  if (!repository)
    problems.push(`${name} has no repository; provenance needs one (GITHUB_REPOSITORY when it is packed)`)
}
if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exit(1)
}

/** Versions with a hyphen are tries: `npm install` does not choose them. */
const channel = manifest.version.includes('-') ? 'next' : 'latest'
for (const one of packages) {
  const id = `${one.name}@${one.version}`
  if (!dryRun && spawnSync('npm', ['view', id, 'version'], { encoding: 'utf8' }).stdout?.trim() === one.version) {
    console.log(`${id} is published already`)
    continue
  }
  const how = ['--provenance', '--access', 'public', '--tag', channel, ...(dryRun ? ['--dry-run'] : [])]
  run('npm', ['publish', tarball(one), ...how])
}
