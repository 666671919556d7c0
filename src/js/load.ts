/**
 * Loads the addon: from a local build in `native/`, or from the package that npm has installed for this platform. In a
 * bundle, from the file beside it.
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'

export const { version } = require('../package.json') as { version: string }

// Each `require` takes a literal, because tracers (such as that of Next.js' `output: 'standalone'`) follow nothing else.
// Each is inside a `try`, because bundlers then accept that the packages of the other platforms are not installed. The
// packages load their addons in a way that bundlers do not follow (`scripts/platforms.mjs`).
const platforms: Record<string, () => unknown> = {
  'darwin-arm64'() {
    try {
      return require('holysheep-darwin-arm64')
    } catch (error) {
      return rethrow(error)
    }
  },
  'darwin-x64'() {
    try {
      return require('holysheep-darwin-x64')
    } catch (error) {
      return rethrow(error)
    }
  },
  'linux-arm64-gnu'() {
    try {
      return require('holysheep-linux-arm64-gnu')
    } catch (error) {
      return rethrow(error)
    }
  },
  'linux-arm64-musl'() {
    try {
      return require('holysheep-linux-arm64-musl')
    } catch (error) {
      return rethrow(error)
    }
  },
  'linux-x64-gnu'() {
    try {
      return require('holysheep-linux-x64-gnu')
    } catch (error) {
      return rethrow(error)
    }
  },
  'linux-x64-musl'() {
    try {
      return require('holysheep-linux-x64-musl')
    } catch (error) {
      return rethrow(error)
    }
  },
  'win32-x64-msvc'() {
    try {
      return require('holysheep-win32-x64-msvc')
    } catch (error) {
      return rethrow(error)
    }
  },
}

/** The platforms with a package. */
export const supported: readonly string[] = Object.keys(platforms)

/**
 * The addon for this platform.
 *
 * @throws {Error} with the `code` `ADDON_NOT_LOADED`, and the loader's error as `cause`, if the platform is not supported, or
 * the addon is not installed, cannot be loaded or has another version. The message names platform, package and remedy.
 */
export function load(): { version(): string } {
  const name = platformName()
  const packageName = `holysheep-${name}`
  const subject = `holysheep ${version} on ${name} (Node.js ${process.versions.node})`
  const packaged = Object.hasOwn(platforms, name) ? platforms[name] : undefined
  if (!packaged) {
    throw failure(
      `${subject}: this platform has no native addon, so there is no package ${packageName}. Supported platforms: ` +
        `${supported.join(', ')}.`,
    )
  }
  const file = `holysheep.${name}.node`
  // A bundle in ESM has no `__filename`, and one of Bun's has that of the machine that bundled it.
  const isFile = typeof __filename === 'string' && existsSync(__filename)
  const here = isFile ? __filename : (process.argv[1] ?? process.execPath)
  const isBundled = basename(here) !== 'load.js'
  // Bundlers follow neither.
  const requireHere = createRequire(here)
  const at = (path: string) => () => {
    const addon = join(dirname(here), path)
    return existsSync(addon) && requireHere(addon)
  }
  const sources: Array<[name: string, get: () => unknown]> = isBundled
    ? [
        [`the file ${file} beside the bundle`, at(file)],
        [`the package ${packageName}`, packaged],
        // The package may be part of the bundle without its addon, or a tracer may have copied nothing else of it.
        [`the package ${packageName}`, () => requireHere(packageName)],
        [`the package ${packageName}`, at(`node_modules/${packageName}/${file}`)],
      ]
    : [
        ['the addon in native/', at(`../native/${file}`)],
        [`the package ${packageName}`, packaged],
      ]
  let missing: unknown
  for (const [source, get] of sources) {
    try {
      const addon = get() as { version(): string } | false
      if (addon === false) continue
      const found = addon.version()
      if (found === version) return addon
      throw failure(
        `${subject}: ${source} has version ${found}. The versions must match: in a clone run 'npm run build', ` +
          `elsewhere remove node_modules and run 'npm install'.`,
      )
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ADDON_NOT_LOADED') throw error
      // The stub that a bundler leaves instead of `require` throws errors without a code.
      if (code !== 'MODULE_NOT_FOUND' && !(isBundled && code === undefined)) {
        const reason = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
        throw failure(
          `${subject}: ${source} was found but cannot be loaded: ${reason}. ${remedy(error, reason)}`,
          error,
        )
      }
      missing = error
    }
  }
  if (isBundled) {
    throw failure(
      `${subject}: holysheep is part of the bundle ${here}, and its native addon is not beside it. Copy ` +
        `node_modules/${packageName}/${file} into the folder of the bundle, or do not bundle holysheep (\`external\`; in ` +
        `Next.js \`serverExternalPackages\`) and install it where the bundle runs. docs/bundlers.md has both for each bundler.`,
      missing,
    )
  }
  throw failure(
    `${subject}: the package ${packageName} with the native addon for this platform is not installed. It is an optional ` +
      `dependency, which npm skips with --omit=optional, or if node_modules or the lock file were created on another ` +
      `platform. Remove node_modules and that lock file, and run 'npm install' on this machine with optional ` +
      `dependencies, or install the package by name: npm install ${packageName}@${version}`,
    missing,
  )
}

function rethrow(error: unknown): never {
  throw error
}

function remedy(error: unknown, reason: string): string {
  const { code, name } = error as { code?: unknown; name?: unknown }
  if (code === 'ERR_DLOPEN_DISABLED') {
    return process.permission
      ? "Node's permission model allows no native addons by default: start Node.js with --allow-addons."
      : 'Start Node.js without --no-addons.'
  }
  if (process.versions.deno && name === 'NotCapable') {
    return 'Start Deno with --allow-ffi, --allow-read and --allow-env: the network access of a native addon needs no permission.'
  }
  if (reason.includes('Too many open files')) return 'Raise the limit of file descriptors (`ulimit -n`).'
  const glibcHint = reason.includes('GLIBC_') ? 'It needs glibc 2.28 or later. ' : ''
  return `${glibcHint}If the file is damaged or from another system, remove node_modules and run 'npm install' on this machine.`
}

function failure(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code: 'ADDON_NOT_LOADED' })
}

/** The name of the current platform, which may be unsupported. */
export function platformName(): string {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

/**
 * Whether this process runs on musl. The executable names its loader near the beginning of the file. The machine may have
 * both C libraries (Debian's package `musl`), and a process report takes longer than the rest of loading.
 */
function isMusl(): boolean {
  const start = Buffer.alloc(4096)
  try {
    const file = openSync(process.execPath, 'r')
    try {
      readSync(file, start, 0, start.length, 0)
    } finally {
      closeSync(file)
    }
  } catch {
    // The executable may have been deleted since. The report below does not need it.
  }
  if (start.includes('/ld-musl-')) return true
  if (start.includes('/ld-linux')) return false
  // Deno exists for glibc only, and its report needs a permission.
  if (process.versions.deno) return false
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header?.glibcVersionRuntime === undefined
}
