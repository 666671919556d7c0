// Runs every JavaScript program in the README and the docs unchanged against the simulator.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startSimulator } from 'holysheep/simulator'
import { root } from './lib.mjs'

// `scripts/apps.mjs` runs those that need a framework.
const elsewhere = ['express.md', 'nextjs.md']
const guides = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md') && !elsewhere.includes(name))
const FILES = ['README.md', ...guides.map((name) => `docs/${name}`)]
let count = 0
let failed = 0
for (const file of FILES) {
  const text = readFileSync(join(root, file), 'utf8')
  for (const match of text.matchAll(/^```(js|ts|mjs|cjs)\n([\s\S]*?)^```$/gm)) {
    const line = text.slice(0, match.index).split('\n').length
    const kind = match[1] === 'cjs' ? 'commonjs' : 'module'
    const simulator = await startSimulator()
    const { status, stdout, stderr } = spawnSync(process.execPath, [`--input-type=${kind}`, '-e', match[2]], {
      cwd: root,
      encoding: 'utf8',
      timeout: 30_000,
      env: { ...process.env, HOLYSHEEP_API_KEY: 'no-key-needed', HOLYSHEEP_BASE_URL: simulator.url },
    })
    await simulator.close()
    count++
    if (status === 0) continue
    failed++
    console.error(`${file}:${line}: the program exited with ${status}\n${stdout}${stderr}`)
  }
}
console.log(`${count - failed} of ${count} programs of the documentation ran`)
process.exitCode = failed === 0 && count > 0 ? 0 : 1
