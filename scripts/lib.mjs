// Helpers that the scripts share: commands and paths.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** On Windows npm and the programs of node_modules are scripts, which need a shell. */
const shell = (command) => process.platform === 'win32' && !command.endsWith('.exe')

/** Runs a command in the project and exits with its status if it fails. */
export function run(command, args = [], options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: shell(command), ...options })
  if (error) {
    console.error(`${command}: ${error.message}`)
    process.exit(1)
  }
  if (status !== 0) process.exit(status ?? 1)
}

/** Runs a command in the project and returns its output; exits with its status if it fails. */
export function output(command, args = [], options = {}) {
  const { status, error, stdout } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: shell(command),
    ...options,
  })
  if (error || status !== 0) {
    console.error(`${command} ${args[0]}: ${error?.message ?? `exited with ${status}`}`)
    process.exit(status || 1)
  }
  return stdout
}

/** A program of node_modules. */
export function bin(name) {
  return fileURLToPath(new URL(`../node_modules/.bin/${name}`, import.meta.url))
}

/**
 * Installs what the lock file lists. Not `npm ci`, which rejects a lock file without the optional
 * packages of other platforms, and npm writes such lock files when a registry does not have them all.
 */
export const INSTALL = ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']

/** The texts of the declaration files of the main entry, or of those in a folder of `types/`. */
export function declarations(folder = '') {
  const at = join(root, 'types', folder)
  const names = readdirSync(at).filter((name) => name.endsWith('.d.ts'))
  const texts = names.sort().map((name) => readFileSync(join(at, name), 'utf8'))
  return folder ? texts : [readFileSync(join(root, 'index.d.ts'), 'utf8'), ...texts]
}

/** The files of the JavaScript tests. */
export function testFiles() {
  return ['__test__', '__test__/systems', '__test__/fetch'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.test.mjs'))
      .map((name) => join(folder, name)),
  )
}
