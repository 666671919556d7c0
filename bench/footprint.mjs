// The size of the addon, and how long `require` takes.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { platformOf } from '../scripts/platforms.mjs'
import { median } from './table.mjs'

const exec = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const RUNS = 15

export async function footprint(node) {
  const code = `const start = performance.now(); require(${JSON.stringify(root)}); console.log(performance.now() - start)`
  const times = []
  for (let run = 0; run < RUNS; run++) {
    const { stdout } = await exec(node.path, ['-e', code])
    times.push(Number(stdout))
  }
  const addon = readdirSync(`${root}native`).find((name) => name.endsWith('.node'))
  // The published addon, which `npm run pack` leaves behind, or one that the same profile builds without zig.
  const names = ['libholysheep.so', 'libholysheep.dylib', 'holysheep.dll'].map((name) => `${root}target/dist/${name}`)
  const dist = [platformOf().path, ...names].find(existsSync)
  return {
    requireMs: median(times),
    addonMb: statSync(`${root}native/${addon}`).size / 1e6,
    distMb: dist && statSync(dist).size / 1e6,
  }
}
