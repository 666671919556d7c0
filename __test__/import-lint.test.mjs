// The import lint finds what it is there for, in small trees of files.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/child.mjs'

/** Runs the lint over a tree of these files below `src/`: its exit status and the lines that it prints. */
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

/** The lint fails and prints just these lines. */
function finds(files, expected) {
  const { status, lines } = lint(files)
  assert.deepEqual(lines, expected)
  assert.equal(status, 1)
}

/** The lint passes. */
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

test('two Rust files that use each other are a circle', () => {
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

test('an import through a facade counts as one of the file behind it', () => {
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

test('a facade that its own files import from is no circle, and one with items is', () => {
  const files = (facade) => ({
    ...ENGINE,
    'policy.rs': `mod a;\nmod b;\npub use a::A;\npub use b::B;\n${facade}`,
    'policy/a.rs': 'pub struct A;\n',
    'policy/b.rs': 'use super::*;\npub struct B(A, Option<Shared>);\nstruct Local;\n',
  })
  passes({ ...files(''), 'policy/b.rs': 'use super::*;\npub struct B(A);\n' })
  finds(files('pub struct Shared;\n'), ['circle: policy.rs → policy/b.rs → policy.rs'])
})

test('what tests, comments and strings name is not imported', () => {
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

test('two TypeScript files that import each other are a circle, of types too', () => {
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

test('a floor of the engine that imports one above it is named with what it imports', () => {
  finds({ ...ENGINE, 'engine/time.rs': 'use super::Client;\npub fn now(_: Client) {}\n' }, [
    'engine/time.rs: the floor time must not import super::Client of the floor client (engine/client.rs)',
    'circle: engine/admission.rs → engine/shared.rs → engine/time.rs → engine/client.rs → engine/call/hedge.rs → engine/attempt.rs → engine/admission.rs',
  ])
})

test('a file of the engine on no floor, and an item of its facade, are named', () => {
  const facade = `${ENGINE['engine/mod.rs']}mod extra;\npub struct Item;\n`
  const admission = 'use super::{Item, shared::Route};\npub struct Permit(Route, Item);\n'
  finds({ ...ENGINE, 'engine/mod.rs': facade, 'engine/extra.rs': '', 'engine/admission.rs': admission }, [
    'engine/extra.rs: on no floor of the engine; they are time, shared, admission, attempt, call, client',
    'engine/admission.rs: imports super::Item from the facade engine/mod.rs',
    'circle: engine/admission.rs → engine/mod.rs → engine/client.rs → engine/call/hedge.rs → engine/attempt.rs → engine/admission.rs',
  ])
})

test('a layer that imports one above it, and a crate in the wrong layer, are named', () => {
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

test('a file that is too long is named', () => {
  finds({ ...ENGINE, 'wire.rs': '\n'.repeat(500) }, ['wire.rs: 501 lines; at most 450'])
})
