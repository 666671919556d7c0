// The platforms with a prebuilt package, and the folders of their packages.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bin, root, run } from './lib.mjs'

export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** The oldest glibc that an addon must run on: that of Debian 10 and RHEL 8. */
export const GLIBC = '2.28'

const SYSTEMS = { linux: 'linux', darwin: 'darwin', windows: 'win32' }
const ARCHITECTURES = { x86_64: 'x64', aarch64: 'arm64' }

/**
 * Every platform of `napi.targets`, with the name that napi-rs gives it; `path` is the path of its addon once it is
 * built.
 */
export const platforms = manifest.napi.targets.map((triple) => {
  const [architecture, , system, abi] = triple.split('-')
  const name = [SYSTEMS[system], ARCHITECTURES[architecture], abi].filter(Boolean).join('-')
  const addon = `${manifest.napi.binaryName}.${name}.node`
  const folder = join(root, 'npm', name)
  return { triple, name, packageName: `${manifest.name}-${name}`, addon, folder, path: join(folder, addon) }
})

/** The platform with a name; by default this machine's. */
export function platformOf(name = platformHere()) {
  const found = platforms.find((platform) => platform.name === name)
  if (!found) throw new Error(`got '${name}'; accepted: ${platforms.map((platform) => platform.name).join(', ')}`)
  return found
}

function platformHere() {
  const { platform, arch } = process
  if (platform === 'linux') {
    return `linux-${arch}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`
  }
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

/** Writes npm/PLATFORM/package.json and index.js for every platform. */
export function makePackages() {
  run(bin('napi'), ['create-npm-dirs', '--npm-dir', 'npm'], { stdio: ['ignore', 'ignore', 'inherit'] })
  for (const { folder, addon } of platforms) {
    copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
    writeFileSync(join(folder, 'index.js'), entryOf(addon))
    const path = join(folder, 'package.json')
    const json = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, `${JSON.stringify({ ...json, main: 'index.js', files: ['index.js', addon] }, null, 2)}\n`)
  }
}

/** The entry point of a platform's package. */
export function entryOf(addon) {
  return `'use strict'
const { createRequire } = require('node:module')
const { join } = require('node:path')
// A bundler would read the addon as JavaScript if it followed this, as it follows \`require\`. A tracer finds the file.
module.exports = createRequire(__filename)(join(__dirname, '${addon}'))
`
}
