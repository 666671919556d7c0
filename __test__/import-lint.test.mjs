// The import lint finds violations in small file trees.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/child.mjs'

/** Runs the lint over a tree with these files in `src/`, and returns its exit status and the lines that it prints. */
function lint(files) {
  const tree = mkdtempSync(join(tmpdir(), 'import-lint-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      if (text === undefined) continue
      const path = join(tree, 'src', name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text)
    }
    const script = join(root, 'scripts/import-lint.mjs')
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, tree], { encoding: 'utf8' })
    return { status, lines: `${stdout}${stderr}`.trim().split('\n') }
  } finally {
    rmSync(tree, { recursive: true })
  }
}

/** Asserts that the lint fails and prints exactly these lines. */
function finds(files, expected) {
  const { status, lines } = lint(files)
  assert.deepEqual(lines, expected)
  assert.equal(status, 1)
}

/** Asserts that the lint passes. */
function passes(files) {
  const { status, lines } = lint(files)
  assert.equal(status, 0, lines.join('\n'))
}

const LIB = 'pub mod error;\npub mod policy;\npub mod wire;\npub mod engine;\n'
const ENGINE = {
  'lib.rs': LIB,
  'error.rs': 'pub struct Error;\n',
  'policy.rs': '',
  'wire.rs': '',
  'engine/mod.rs':
    'mod time;\nmod shared;\nmod admission;\nmod attempt;\nmod call;\nmod client;\npub use client::Client;\n',
  'engine/time.rs': 'pub fn now() {}\n',
  'engine/shared.rs': 'use super::time;\npub struct Route;\nfn f() { time::now() }\n',
  'engine/admission.rs': 'use super::shared::Route;\npub struct Permit(Route);\n',
  'engine/attempt.rs': 'use super::admission::Permit;\npub struct Attempt(Permit);\n',
  'engine/call/mod.rs': 'mod hedge;\npub use hedge::Call;\n',
  'engine/call/hedge.rs': 'use crate::engine::attempt::Attempt;\npub struct Call(Attempt);\n',
  'engine/client.rs': 'use super::call::Call;\npub struct Client(Call);\n',
}

test('a clean tree passes', () => {
  passes({
    ...ENGINE,
    'js/index.ts': "import { a } from './a'\nexport type { B } from './b'\n",
    'js/a.ts': "import type { B } from './b'\nimport type { Options } from '../../index'\n",
    'js/b.ts': 'export type B = string\n',
  })
})

test('the project itself passes', () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/import-lint.mjs')], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
})

test('two Rust files that use each other form a circle', () => {
  finds(
    {
      ...ENGINE,
      'wire.rs': 'mod chat;\nmod template;\n',
      'wire/chat.rs': 'use super::template::Template;\npub struct Chunk(Template);\n',
      'wire/template.rs': 'pub struct Template;\nfn f() -> super::chat::Chunk { loop {} }\n',
    },
    ['circle: wire/chat.rs → wire/template.rs → wire/chat.rs'],
  )
})

test('an import through a facade counts as an import of the file behind it', () => {
  finds(
    {
      ...ENGINE,
      'wire.rs': undefined,
      'wire/mod.rs': 'mod a;\nmod b;\nmod c;\npub use a::A;\npub use self::{b::B, c::*};\n',
      'wire/a.rs': 'use crate::wire::{B, C};\npub struct A(B, C);\n',
      'wire/b.rs': 'use super::C as Renamed;\npub struct B(Renamed);\n',
      'wire/c.rs': 'pub struct C;\nfn f(_: super::A) {}\n',
    },
    ['circle: wire/a.rs → wire/c.rs → wire/a.rs (one of the circles of 3 files)'],
  )
})

test('a facade that its own files import from forms no circle unless it has items', () => {
  const files = (facade) => ({
    ...ENGINE,
    'policy.rs': `mod a;\nmod b;\npub use a::A;\npub use b::B;\n${facade}`,
    'policy/a.rs': 'pub struct A;\n',
    'policy/b.rs': 'use super::*;\npub struct B(A, Option<Shared>);\nstruct Local;\n',
  })
  passes({ ...files(''), 'policy/b.rs': 'use super::*;\npub struct B(A);\n' })
  finds(files('pub struct Shared;\n'), ['circle: policy.rs → policy/b.rs → policy.rs'])
})

test('paths in tests, comments and strings are not imports', () => {
  passes({
    ...ENGINE,
    'wire.rs': 'mod a;\nmod b;\n',
    'wire/a.rs': 'use super::b::B;\npub struct A(B);\n',
    'wire/b.rs': `//! See [super::a::A].
pub struct B;
const TEXT: &str = "super::a::A"; /* super::a::A */
#[cfg(test)]
use super::a::A;
#[cfg(test)]
#[path = "b_tests.rs"]
mod tests;
#[cfg(test)]
mod more {
    use super::super::a::A;
}
`,
    'wire/b_tests.rs': 'use super::super::a::A;\n',
  })
})

test('TypeScript files that import each other form a circle, even through type imports', () => {
  finds(
    {
      ...ENGINE,
      'js/client.ts': "import {\n  Stream,\n} from './stream.js'\n",
      'js/stream.ts': "import type { Options } from './fetch'\n// import './client'\n",
      'js/fetch/index.ts': "export const load = () => import('../client')\n",
    },
    ['circle: js/client.ts → js/stream.ts → js/fetch/index.ts → js/client.ts'],
  )
})

test('an engine floor that imports a higher one is reported with its import', () => {
  finds({ ...ENGINE, 'engine/time.rs': 'use super::Client;\npub fn now(_: Client) {}\n' }, [
    'engine/time.rs: the floor time must not import super::Client of the floor client (engine/client.rs)',
    'circle: engine/admission.rs → engine/shared.rs → engine/time.rs → engine/client.rs → engine/call/hedge.rs → engine/attempt.rs → engine/admission.rs',
  ])
})

test('an engine file outside the floors and an item of the facade are reported', () => {
  const facade = `${ENGINE['engine/mod.rs']}mod extra;\npub struct Item;\n`
  const admission = 'use super::{Item, shared::Route};\npub struct Permit(Route, Item);\n'
  finds({ ...ENGINE, 'engine/mod.rs': facade, 'engine/extra.rs': '', 'engine/admission.rs': admission }, [
    'engine/extra.rs: on no floor of the engine; they are time, shared, admission, attempt, call, client',
    'engine/admission.rs: imports super::Item from the facade engine/mod.rs',
    'circle: engine/admission.rs → engine/mod.rs → engine/client.rs → engine/call/hedge.rs → engine/attempt.rs → engine/admission.rs',
  ])
})

test('a layer that imports a higher one and a crate in the wrong layer are reported', () => {
  finds(
    {
      ...ENGINE,
      'policy.rs': 'use crate::{error::Error, engine::Client};\npub struct Plan(Error, Client);\n',
      'wire.rs': 'pub async fn f() { tokio::task::yield_now().await; super::policy::g() }\n',
    },
    [
      'policy.rs: policy must not import engine',
      'wire.rs: wire must not import policy',
      'wire.rs: wire must not use the crate tokio',
    ],
  )
})

test('a file that is too long is reported', () => {
  finds({ ...ENGINE, 'wire.rs': '\n'.repeat(500) }, ['wire.rs: 501 lines; at most 450'])
})
