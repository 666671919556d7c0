// Builds the addon as published, puts it into the package of its platform, and checks what it requires of the system:
// `node scripts/addon.mjs [PLATFORM]`, by default this machine's. Platforms have the names of their packages, such as
// linux-x64-gnu. zig links the addons for Linux on any machine; the others must be built on their own system.
import { copyFileSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { compare, newestGlibc, requirements } from './elf.mjs'
import { bin, INSTALL, root, run } from './lib.mjs'
import { GLIBC, makePackages, platformOf } from './platforms.mjs'
import { withZig } from './zig.mjs'

/** Keeps the size from growing unnoticed; CONTRIBUTING.md breaks it down. */
const MAX_BYTES = 8e6
/** The known sizes. One that moves by more than 2 %, in either direction, must be updated here on purpose. */
const KNOWN_BYTES = { 'linux-x64-gnu': 6_160_000 }
const MARGIN = 0.02

const platform = platformOf(process.argv[2])
const [linux, gnu] = [platform.name.startsWith('linux-'), platform.name.endsWith('-gnu')]
if (!existsSync(join(root, 'node_modules'))) run('npm', INSTALL)
makePackages()
const out = join('target/addons', platform.name)
const target = gnu ? `${platform.triple}.${GLIBC}` : platform.triple
run(
  bin('napi'),
  [
    ...['build', '--platform', '--profile', 'dist', '--target', target, ...(linux ? ['--cross-compile'] : [])],
    ...['--no-js', '--output-dir', out, '--dts', 'index.d.ts', '--', '--locked', '--lib'],
  ],
  { env: linux ? withZig() : process.env },
)
copyFileSync(join(root, out, platform.addon), platform.path)
// The types of the addon are the same on every platform, and the TypeScript is compiled against them.
mkdirSync(join(root, 'native'), { recursive: true })
copyFileSync(join(root, out, 'index.d.ts'), join(root, 'native/index.d.ts'))

const problems = []
const { size } = statSync(platform.path)
console.log(`${platform.addon}: ${(size / 1e6).toFixed(2)} MB`)
const known = KNOWN_BYTES[platform.name]
if (known !== undefined && Math.abs(size - known) > MARGIN * known)
  problems.push(`has ${size} bytes and had ${known}: if that is intended, update KNOWN_BYTES`)
if (size > MAX_BYTES) problems.push(`has ${size} bytes; the limit is ${MAX_BYTES}`)
if (linux) {
  // The libraries that every system with that C library has.
  const standard = gnu ? /^(lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux-.*)$/ : /^libc\.(musl-.*\.)?so/
  const { libraries } = requirements(platform.path)
  const glibc = newestGlibc(platform.path)
  console.log(`needs ${libraries.join(', ')}; newest glibc: ${glibc.join('.')}`)
  for (const library of libraries) if (!standard.test(library)) problems.push(`needs ${library}`)
  if (compare(glibc, GLIBC.split('.').map(Number)) > 0)
    problems.push(`needs glibc ${glibc.join('.')}; the limit is ${GLIBC}`)
}
for (const problem of problems) console.error(`${platform.addon} ${problem}`)
if (problems.length > 0) process.exit(1)
