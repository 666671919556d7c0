// zig, which links against a glibc older than the machine's and for other systems, and the Cargo command that uses it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root, run } from './lib.mjs'

const PACKAGES = ['ziglang==0.17.1', 'cargo-zigbuild==0.24.1']
const folder = join(root, 'target/zig')
const programs = join(folder, process.platform === 'win32' ? 'Scripts' : 'bin')

/** The environment in which `cargo zigbuild` works. At first use both are installed into target/zig, from PyPI. */
export function withZig() {
  const stamp = join(folder, 'installed')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== PACKAGES.join('\n')) {
    run(process.platform === 'win32' ? 'python' : 'python3', ['-m', 'venv', '--clear', folder])
    run(join(programs, 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...PACKAGES])
    writeFileSync(stamp, PACKAGES.join('\n'))
  }
  return { ...process.env, PATH: `${programs}${delimiter}${process.env.PATH}` }
}
