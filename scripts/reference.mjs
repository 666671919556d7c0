// Generates the API reference of every entry point of the package in docs/api/html. A link that does not
// resolve and a type that the public interface uses but does not export are errors.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { INSTALL, root, run } from './lib.mjs'

const home = join(root, 'docs/api')
if (!existsSync(join(home, 'node_modules/typedoc'))) run('npm', INSTALL, { cwd: home })

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const types = Object.values(exports)
  .map((entry) => entry.require?.types ?? entry.types)
  .filter(Boolean)
const entries = types.flatMap((path) => ['--entryPoints', join(root, path)])
run(
  process.execPath,
  [join(home, 'node_modules/typedoc/bin/typedoc'), '--options', join(home, 'typedoc.json'), ...entries],
  {
    cwd: home,
  },
)
