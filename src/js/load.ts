/** Finds the addon: of this clone's own build in `native/`, or of the package that npm chose for this platform. */
import { closeSync, openSync, readSync } from 'node:fs'

const { version } = require('../package.json') as { version: string }

interface Platform {
  built(): unknown
  packaged(): unknown
}

// Each `require` is a literal: bundlers and tracers (of Next.js' `output: 'standalone'`, say) follow no other.
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

/** The names of the platforms that there is a package for. */
export const supported: readonly string[] = Object.keys(platforms)

/** The name of the platform that this process runs on, whether there is an addon for it or not. */
export function platformName(): string {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

/**
 * Whether this very process runs on musl. The file that it was started from names its loader near the beginning; the
 * machine may have both (Debian's package `musl`), and a report of the process takes longer than everything else here.
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
    // Deleted under the running process: the report below knows too.
  }
  if (start.includes('/ld-musl-')) return true
  if (start.includes('/ld-linux')) return false
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header?.glibcVersionRuntime === undefined
}

/**
 * The addon for this platform.
 *
 * @throws {Error} with the `code` `ADDON_NOT_LOADED`, and the loader's error as `cause`, where there is none, it is not
 * installed, the system refuses it, or it is of another version. The message names platform, package and remedy.
 */
export function load(): { version(): string } {
  const name = platformName()
  const packageName = `holysheep-${name}`
  const runs = `holysheep ${version} on ${name} (Node.js ${process.versions.node})`
  const platform = Object.hasOwn(platforms, name) ? platforms[name] : undefined
  if (!platform) {
    throw failure(
      `${runs}: there is no native addon for this platform, so no package ${packageName}. There are packages for ` +
        `${supported.join(', ')}. Run it on one of them.`,
    )
  }
  let missing: unknown
  for (const [what, get] of [
    ['the addon in native/', platform.built],
    [`the package ${packageName}`, platform.packaged],
  ] as const) {
    try {
      const addon = get() as { version(): string }
      const found = addon.version()
      if (found === version) return addon
      throw failure(
        `${runs}: ${what} is of version ${found}. The two must be of one version: in a clone run 'npm run build', ` +
          `elsewhere remove node_modules and run 'npm install'.`,
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ADDON_NOT_LOADED') throw error
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') {
        const why = error instanceof Error ? error.message : String(error)
        const needs = why.includes('GLIBC_') ? ' It needs glibc 2.28 or later.' : ''
        throw failure(
          `${runs}: ${what} was found, but cannot be loaded: ${why}.${needs} If the file is damaged, or of another ` +
            `system, remove node_modules and run 'npm install' on this machine.`,
          error,
        )
      }
      missing = error
    }
  }
  throw failure(
    `${runs}: the package ${packageName}, which has the native addon for this platform, is not installed. It is an ` +
      `optional dependency: npm leaves it out with --omit=optional, and where node_modules or the lock file were made on ` +
      `another platform. Remove node_modules, and that lock file, and run 'npm install' on this machine with optional ` +
      `dependencies; or install it by name: npm install ${packageName}@${version}`,
    missing,
  )
}

function failure(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { code: 'ADDON_NOT_LOADED' })
}
