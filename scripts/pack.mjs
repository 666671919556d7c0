// Makes the tarballs to publish in pack/: `npm run pack` makes the main package and that of this machine's platform,
// with its addon; `npm run pack -- PLATFORM…` those of the named platforms; `--all` those of all. `--built` uses the
// addons in npm/ instead of building them. pack/packages.json has the package.json of every package.
// The main package has the package of each platform as an optional dependency. They are added here because in the clone
// npm would look for versions that are not published yet.
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { bin, output, root, run } from './lib.mjs'
import { makePackages, manifest, platformOf, platforms } from './platforms.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { built: { type: 'boolean' }, all: { type: 'boolean' } },
})
const chosen = values.all ? platforms : (positionals.length > 0 ? positionals : [undefined]).map(platformOf)

if (!values.built) for (const { name } of chosen) run(process.execPath, ['scripts/addon.mjs', name])
run(bin('tsc'), ['-p', 'tsconfig.json'])
makePackages()

const folder = join(root, 'pack')
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)

/**
 * npm checks the provenance of a package against the repository in its package.json, which only a release knows:
 * GitHub Actions sets it.
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
  const wanted = chosen.includes(platform)
  if (wanted && !existsSync(platform.path)) throw new Error(`${platform.path} does not exist`)
  pack(platform.folder, JSON.parse(readFileSync(join(platform.folder, 'package.json'), 'utf8')), wanted)
}

// The main package is packed from a copy with the changed package.json.
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
