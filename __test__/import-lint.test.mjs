// The import lint finds violations in small file trees.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { root } from './support/child.mjs'

/** Runs the lint over a tree with these files, named relative to `src/`, and returns its exit status and the lines that it prints. */
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

test('two Rust files that use each other form a cycle', () => {
  finds(
    {
      ...ENGINE,
      'wire.rs': 'mod chat;\nmod template;\n',
      'wire/chat.rs': 'use super::template::Template;\npub struct Chunk(Template);\n',
      'wire/template.rs': 'pub struct Template;\nfn f() -> super::chat::Chunk { loop {} }\n',
    },
    ['cycle: wire/chat.rs → wire/template.rs → wire/chat.rs'],
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
    ['cycle: wire/a.rs → wire/c.rs → wire/a.rs (one of the cycles of 3 files)'],
  )
})

test('a facade that its own files import from forms no cycle unless it has items', () => {
  const files = (facade) => ({
    ...ENGINE,
    'policy.rs': `mod a;\nmod b;\npub use a::A;\npub use b::B;\n${facade}`,
    'policy/a.rs': 'pub struct A;\n',
    'policy/b.rs': 'use super::*;\npub struct B(A, Option<Shared>);\nstruct Local;\n',
  })
  passes({ ...files(''), 'policy/b.rs': 'use super::*;\npub struct B(A);\n' })
  finds(files('pub struct Shared;\n'), ['cycle: policy.rs → policy/b.rs → policy.rs'])
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

test('TypeScript files that import each other form a cycle, even through type imports', () => {
  finds(
    {
      ...ENGINE,
      'js/client.ts': "import {\n  Stream,\n} from './stream.js'\n",
      'js/stream.ts': "import type { Options } from './fetch'\n// import './client'\n",
      'js/fetch/index.ts': "export const load = () => import('../client')\n",
    },
    ['cycle: js/client.ts → js/stream.ts → js/fetch/index.ts → js/client.ts'],
  )
})

test('an engine floor that imports a higher one is reported with its import', () => {
  finds({ ...ENGINE, 'engine/time.rs': 'use super::Client;\npub fn now(_: Client) {}\n' }, [
    'engine/time.rs: the floor time must not import super::Client of the floor client (engine/client.rs)',
    'cycle: engine/admission.rs → engine/shared.rs → engine/time.rs → engine/client.rs → engine/call/hedge.rs → engine/attempt.rs → engine/admission.rs',
  ])
})

test('an engine file outside the floors and an item of the facade are reported', () => {
  const facade = `${ENGINE['engine/mod.rs']}mod extra;\npub struct Item;\n`
  const admission = 'use super::{Item, shared::Route};\npub struct Permit(Route, Item);\n'
  finds({ ...ENGINE, 'engine/mod.rs': facade, 'engine/extra.rs': '', 'engine/admission.rs': admission }, [
    'engine/extra.rs: on no floor of the engine; they are time, shared, admission, attempt, call, client',
    'engine/admission.rs: imports super::Item from the facade engine/mod.rs',
    'cycle: engine/admission.rs → engine/mod.rs → engine/client.rs → engine/call/hedge.rs → engine/attempt.rs → engine/admission.rs',
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

/** The engine with this text in `engine/time.rs`, which may import no other floor. */
const withTime = (text) => ({ ...ENGINE, 'engine/time.rs': `pub fn now() {}\n${text}` })

/** Asserts that the lint reports an import of `path` by `engine/time.rs`. */
function findsInTime(text, path, more = {}) {
  const { status, lines } = lint({ ...withTime(text), ...more })
  const report = `engine/time.rs: the floor time must not import ${path} of the floor client (engine/client.rs)`
  assert.ok(lines.includes(report), lines.join('\n'))
  assert.equal(status, 1)
}

test('#[cfg(test)] on a part of an item leaves out that part alone', () => {
  const imports = 'use super::client::Client;\nfn f(_: Client) {}\n'
  for (const item of [
    'struct S {\n    #[cfg(test)]\n    count: std::collections::HashMap<u8, u8>,\n}',
    'struct S {\n    a: u8,\n    #[cfg(test)]\n    b: u8\n}',
    'enum E {\n    #[cfg(test)]\n    #[allow(unused)]\n    A(u8, u8),\n    B,\n}',
    'enum E {\n    B,\n    #[cfg(test)]\n    A { a: u8 }\n}',
    'fn g(#[cfg(test)] a: u8) {}',
    'fn g() { #[cfg(test)] { h(); } }',
    'fn g(n: u8) { match n { #[cfg(test)] 0 if n < 1 => h(n, n), _ => {} } }',
  ])
    findsInTime(`${item}\n${imports}`, 'super::client::Client')
  passes(withTime('struct S {\n    #[cfg(test)]\n    a: super::client::Client,\n    b: u8,\n}\n'))
  passes(withTime('#[cfg(test)]\nfn f<A, B>(_: A, _: [B; 1]) { super::client::Client }\n'))
})

test('self, self::super, $crate and aliases of the crate lead to the same files as plain paths', () => {
  findsInTime('use self::super::client::Client;\n', 'self::super::client::Client')
  findsInTime('fn f() { self::super::client::Client; }\n', 'self::super::client::Client')
  findsInTime('macro_rules! client { () => { $crate::engine::client::Client } }\n', 'crate::engine::client::Client')
  for (const text of [
    'use crate as c;\nfn f() { c::engine::Client; }\n',
    'use crate::{self as c};\nfn f() { c::engine::Client; }\n',
    'use crate::*;\nfn f() { engine::Client; }\n',
    'use super::*;\nfn f() { engine::Client; }\n',
    'fn f() { self::super::engine::Client; }\n',
    'use self::super::engine::Client;\n',
    'macro_rules! client { () => { $crate::engine::Client } }\n',
  ])
    finds({ ...ENGINE, 'policy.rs': text }, ['policy.rs: policy must not import engine'])
})

test('a re-export of the crate root belongs to the layer that it comes from', () => {
  finds({ ...ENGINE, 'lib.rs': `${LIB}pub use engine::Client;\n`, 'policy.rs': 'use crate::Client;\n' }, [
    'policy.rs: policy must not import engine',
  ])
})

test('a crate is found however it is named', () => {
  for (const [text, name] of [
    ['fn f() { ::reqwest::get(); }\n', 'reqwest'],
    ['fn f() -> <u8 as ::reqwest::Trait>::Out { loop {} }\n', 'reqwest'],
    ['extern crate reqwest as r;\nfn f() { r::get(); }\n', 'reqwest'],
    ['#[napi_derive::napi]\nfn f() {}\n', 'napi_derive'],
    ['fn f() { napi_sys::open(); }\n', 'napi_sys'],
    ['use hyper_util::rt;\n', 'hyper_util'],
    ['use tokio_util::sync::CancellationToken;\n', 'tokio_util'],
  ])
    finds({ ...ENGINE, 'wire.rs': text }, [`wire.rs: wire must not use the crate ${name}`])
})

test('only #[cfg(test)] makes a module a test, not its name', () => {
  const tests = { 'engine/time/x_tests.rs': 'use crate::engine::client::Client;\n' }
  passes({ ...withTime('#[cfg(test)]\nmod x_tests;\n'), ...tests })
  const { lines } = lint({ ...withTime('mod x_tests;\n'), ...tests })
  assert.ok(lines[0].startsWith('engine/time/x_tests.rs: the floor time must not import'), lines.join('\n'))
})

test('what hides imports is reported: include!, #[macro_export] and #[macro_use]', () => {
  for (const [text, what] of [
    ['include!("code.in");\n', 'include!'],
    ['#[macro_export]\nmacro_rules! m { () => {} }\n', 'macro_export'],
    ['#[macro_use]\nmod a;\n', 'macro_use'],
  ])
    finds({ ...ENGINE, 'wire.rs': text }, [`wire.rs: ${what} hides imports`])
})

test('a macro of an enclosing module is an import of its file', () => {
  finds(
    {
      ...ENGINE,
      'wire.rs': 'macro_rules! m { () => {} }\nmod a;\nfn f() { a::g() }\n',
      'wire/a.rs': 'pub fn g() { m!() }\n',
    },
    ['cycle: wire.rs → wire/a.rs → wire.rs'],
  )
})

test('an impl for a type of another floor or layer is reported unless it implements a trait', () => {
  const attempt = (text) => ({
    ...ENGINE,
    'engine/attempt.rs': `use super::admission::Permit;\npub struct Attempt(Permit);\n${text}`,
  })
  const report = (path) => [`engine/attempt.rs: impl ${path}, a type of the floor admission (engine/admission.rs)`]
  finds(attempt('impl Permit { fn extra(&self) {} }\n'), report('Permit'))
  finds(
    attempt("impl<F: Fn(u8) -> u8> super::admission::Permit<F> where F: for<'a> G<'a> {}\n"),
    report('super::admission::Permit'),
  )
  finds(attempt('impl crate::error::Error {}\n'), [
    'engine/attempt.rs: impl crate::error::Error, a type of the layer error (error.rs)',
  ])
  passes(attempt('impl Drop for Permit {}\nimpl<T: Clone> From<T> for Permit {}\nimpl Attempt {}\n'))
  passes(attempt('fn f() -> impl Fn(Permit) {\n    loop {}\n}\n'))
})

test('a TypeScript import is found however it is written', () => {
  for (const text of [
    'const a = import(`./b`)\n',
    "const a = require ('./b')\n",
    "const a = import ( './b' )\n",
    "import './b.ts'\n",
    "import type { B } from './b.js'\n",
    "const glob = 'src/*'\nimport './b'\nconst end = '*/'\n",
    "const pattern = /[/*]'/\nimport './b'\nconst end = '*/'\n",
    "const url = 'http://host'; import('./b')\n",
    '/// <reference path="b.ts" />\n',
  ])
    finds({ ...ENGINE, 'js/a.ts': text, 'js/b.ts': "import './a'\n" }, ['cycle: js/a.ts → js/b.ts → js/a.ts'])
  finds({ ...ENGINE, 'js/a.ts': "import './d/'\n", 'js/d/index.ts': "import '../a'\n" }, [
    'cycle: js/a.ts → js/d/index.ts → js/a.ts',
  ])
  passes({
    ...ENGINE,
    'js/a.ts': "/* import './b' */\n// import './b'\nf() // import './b'\n",
    'js/b.ts': "import './a'\n",
  })
})

test('a TypeScript file that imports the package by its own name is reported', () => {
  const manifest = { '../package.json': '{"name":"holysheep"}' }
  for (const specifier of ['holysheep', 'holysheep/fetch'])
    finds({ ...ENGINE, ...manifest, 'js/a.ts': `import '${specifier}'\n` }, [
      'js/a.ts: imports the package by its own name',
    ])
  passes({ ...ENGINE, ...manifest, 'js/a.ts': "import 'holysheep-linux-x64-gnu'\n" })
})

test('declarations that import each other form a cycle', () => {
  finds(
    {
      ...ENGINE,
      '../index.d.ts': "export * from './types/a.js'\n",
      '../types/a.d.ts': "import type { B } from './systems'\n",
      '../types/systems/index.d.ts': "import type { A } from '../../index.js'\n",
    },
    ['cycle: index.d.ts → types/a.d.ts → types/systems/index.d.ts → index.d.ts'],
  )
})

test('a TypeScript file or declaration that is too long is reported', () => {
  const long = '\n'.repeat(500)
  finds({ ...ENGINE, 'js/a.ts': long, '../types/b.d.ts': long }, [
    'js/a.ts: 501 lines; at most 450',
    'types/b.d.ts: 501 lines; at most 450',
  ])
})
