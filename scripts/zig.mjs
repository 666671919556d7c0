// zig, which links for other systems and against an older glibc, and the Cargo command that uses it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root, run } from './lib.mjs'

const PACKAGES = ['ziglang==0.17.1', 'cargo-zigbuild==0.24.1']
const folder = join(root, 'target/zig')
const programs = join(folder, process.platform === 'win32' ? 'Scripts' : 'bin')

/** The environment for `cargo zigbuild`. The first use installs both from PyPI into target/zig. */
export function withZig() {
  const stamp = join(folder, 'installed')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== PACKAGES.join('\n')) {
    run(process.platform === 'win32' ? 'python' : 'python3', ['-m', 'venv', '--clear', folder])
    run(join(programs, 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...PACKAGES])
    writeFileSync(stamp, PACKAGES.join('\n'))
  }
  return { ...process.env, PATH: `${programs}${delimiter}${process.env.PATH}` }
}
