// The platforms that there is a package for: what Cargo builds for, and what the package is called.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { root } from './lib.mjs'

const { parseTriple } = createRequire(import.meta.url)('@napi-rs/cli')

export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** The oldest glibc that an addon may ask for: Debian 10, RHEL 8, Ubuntu 18.10 and all later ones have it. */
export const GLIBC = '2.28'

/** Every platform of `napi.targets`: `{ triple, name, packageName, addon }`. */
export const platforms = manifest.napi.targets.map((triple) => {
  const { platformArchABI: name } = parseTriple(triple)
  return { triple, name, packageName: `${manifest.name}-${name}`, addon: `${manifest.napi.binaryName}.${name}.node` }
})
