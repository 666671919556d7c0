/** Loads the addon: from a local build in `native/`, or from the package that npm has installed for this platform. */
import { closeSync, openSync, readSync } from 'node:fs'

const { version } = require('../package.json') as { version: string }

interface Platform {
  built(): unknown
  packaged(): unknown
}

// Each `require` takes a literal, because bundlers and tracers (such as that of Next.js' `output: 'standalone'`) follow
// nothing else.
const platforms: Record<string, Platform> = {
  'darwin-arm64': {
    built: () => require('../native/holysheep.darwin-arm64.node'),
    packaged: () => require('holysheep-darwin-arm64'),
  },
  'darwin-x64': {
    built: () => require('../native/holysheep.darwin-x64.node'),
    packaged: () => require('holysheep-darwin-x64'),
  },
  'linux-arm64-gnu': {
    built: () => require('../native/holysheep.linux-arm64-gnu.node'),
    packaged: () => require('holysheep-linux-arm64-gnu'),
  },
  'linux-arm64-musl': {
    built: () => require('../native/holysheep.linux-arm64-musl.node'),
    packaged: () => require('holysheep-linux-arm64-musl'),
  },
  'linux-x64-gnu': {
    built: () => require('../native/holysheep.linux-x64-gnu.node'),
    packaged: () => require('holysheep-linux-x64-gnu'),
  },
  'linux-x64-musl': {
    built: () => require('../native/holysheep.linux-x64-musl.node'),
    packaged: () => require('holysheep-linux-x64-musl'),
  },
  'win32-x64-msvc': {
    built: () => require('../native/holysheep.win32-x64-msvc.node'),
    packaged: () => require('holysheep-win32-x64-msvc'),
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
  const platform = Object.hasOwn(platforms, name) ? platforms[name] : undefined
  if (!platform) {
    throw failure(
      `${subject}: this platform has no native addon, so there is no package ${packageName}. Supported platforms: ` +
        `${supported.join(', ')}.`,
    )
  }
  let missing: unknown
  for (const [source, get] of [
    ['the addon in native/', platform.built],
    [`the package ${packageName}`, platform.packaged],
  ] as const) {
    try {
      const addon = get() as { version(): string }
      const found = addon.version()
      if (found === version) return addon
      throw failure(
        `${subject}: ${source} has version ${found}. The versions must match: in a clone run 'npm run build', ` +
          `elsewhere remove node_modules and run 'npm install'.`,
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ADDON_NOT_LOADED') throw error
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') {
        const reason = (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
        throw failure(
          `${subject}: ${source} was found but cannot be loaded: ${reason}. ${remedy(error, reason)}`,
          error,
        )
      }
      missing = error
    }
  }
  throw failure(
    `${subject}: the package ${packageName} with the native addon for this platform is not installed. It is an optional ` +
      `dependency, which npm skips with --omit=optional, or if node_modules or the lock file were created on another ` +
      `platform. Remove node_modules and that lock file, and run 'npm install' on this machine with optional ` +
      `dependencies, or install the package by name: npm install ${packageName}@${version}`,
    missing,
  )
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
