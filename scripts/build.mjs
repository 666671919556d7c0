// Builds the addon into native/ and the TypeScript into dist/.
// `--profile dist` builds the addon as published.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bin, INSTALL, root, run } from './lib.mjs'

const at = process.argv.indexOf('--profile')
const profile = at === -1 ? ['--release'] : ['--profile', process.argv[at + 1]]

if (!existsSync(join(root, 'node_modules'))) run('npm', INSTALL)
const where = ['--output-dir', 'native', '--no-js', '--dts', 'index.d.ts']
run(bin('napi'), ['build', '--platform', ...profile, ...where, '--', '--locked'])
run(bin('tsc'), ['-p', 'tsconfig.json'])
