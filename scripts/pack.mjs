// Makes the tarballs that are published, in pack/: `npm run pack` the main package and that of this machine's platform,
// with its addon; `npm run pack -- PLATFORM…` those of these platforms, `--all` those of every one; `--built` takes the
// addons that are in npm/ instead of building them. pack/packages.json has the package.json of every package.
// The main package names every platform's package as an optional dependency. That is put in here: in the clone
// it would ask the registry for versions that are not published yet.
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { bin, output, root, run } from './lib.mjs'
import { makePackages, manifest, platformOf, platforms } from './platforms.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { built: { type: 'boolean' }, all: { type: 'boolean' } },
})
const asked = values.all ? platforms : (positionals.length > 0 ? positionals : [undefined]).map(platformOf)

if (!values.built) for (const { name } of asked) run(process.execPath, ['scripts/addon.mjs', name])
run(bin('tsc'), ['-p', 'tsconfig.json'])
makePackages()

const folder = join(root, 'pack')
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)

/**
 * Provenance holds a package against the repository that it says it comes from, and only a release knows that one:
 * GitHub Actions names it.
 */
const { GITHUB_REPOSITORY } = process.env
const repository = GITHUB_REPOSITORY && { type: 'git', url: `git+https://github.com/${GITHUB_REPOSITORY}.git` }

const packages = []

/** Writes a package.json into a folder; makes the tarball if `wanted`. */
function pack(from, packageJson, wanted) {
  const complete = { ...packageJson, ...(repository && { repository }) }
  packages.push(complete)
  writeFileSync(join(from, 'package.json'), `${JSON.stringify(complete, null, 2)}\n`)
  if (!wanted) return
  const [{ filename, size, unpackedSize }] = JSON.parse(
    output('npm', ['pack', '--json', '--pack-destination', folder], { cwd: from }),
  )
  console.log(`pack/${filename}: ${(size / 1e6).toFixed(2)} MB, unpacked ${(unpackedSize / 1e6).toFixed(2)} MB`)
}

for (const platform of platforms) {
  const wanted = asked.includes(platform)
  if (wanted && !existsSync(platform.path)) throw new Error(`${platform.path} is not there`)
  pack(platform.folder, JSON.parse(readFileSync(join(platform.folder, 'package.json'), 'utf8')), wanted)
}

// The main package is packed from a copy, which has the changed package.json.
const stage = join(root, 'target/stage')
rmSync(stage, { recursive: true, force: true })
const [{ files }] = JSON.parse(output('npm', ['pack', '--json', '--dry-run']))
for (const { path } of files) {
  mkdirSync(dirname(join(stage, path)), { recursive: true })
  copyFileSync(join(root, path), join(stage, path))
}
const { devDependencies, scripts, napi, ...published } = manifest
const optionalDependencies = Object.fromEntries(platforms.map(({ packageName }) => [packageName, manifest.version]))
pack(stage, { ...published, optionalDependencies }, true)
writeFileSync(join(folder, 'packages.json'), `${JSON.stringify(packages, null, 2)}\n`)
