// The imports of a Rust crate, file by file. A path is followed through re-exports to the file that defines
// the item, so that an import through a facade (a `mod.rs` that only declares and re-exports) counts as an import
// of the file behind it, and `mod x;` does not count. Items under `#[cfg(test)]` are left out.
//
// This reads tokens and not types, so it does not see
// - a method that is called on a value, or the trait that has it;
// - an `impl` for a type alias, which counts as one for the file of the alias;
// - a path that a macro builds from its arguments. `include!`, `#[macro_export]` and `#[macro_use]`, which bring in
//   code or names without any path, are listed in `forbidden` instead.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'

const FORBIDDEN = /\binclude!|#\[\s*macro_(?:export|use)\b/g
/** An inherent `impl` or one of a trait, where an item may stand; `-> impl Trait` is not one. */
const IMPL = /(?<=^|[;{}\]]\s*|\bunsafe\s+)impl\b([^;{}]*)\{/g

/**
 * Reads the crate whose root is `lib.rs` in the folder `source`.
 *
 * - `files`: the files that were read.
 * - `imports`: `{ from, to, path }`, files of which one uses an item of the other.
 * - `layers`: `{ from, top }`, a file and the first top module that a path in it leads through.
 * - `names`: `{ from, name }`, a file and the first word of a path that leads out of the crate.
 * - `impls`: `{ from, to, path }`, a file with an inherent `impl` for a type of another file.
 * - `forbidden`: `{ from, what }`, a file and what in it hides imports.
 */
export function readCrate(source) {
  const modules = []
  readFile(join(source, 'lib.rs'), undefined, 'crate')
  const name = (file) => relative(source, file).split(sep).join('/')
  const imports = []
  const layers = []
  const names = []
  const impls = []
  const forbidden = []
  for (const module of modules) {
    const from = name(module.file)
    forbidden.push(...module.forbidden.map((what) => ({ from, what })))
    for (const segments of module.impls) {
      const target = resolve(module, segments, new Set(), [])
      if (target?.kind === 'item' && target.module.file !== module.file)
        impls.push({ from, to: name(target.module.file), path: segments.join('::') })
    }
    for (const segments of module.paths) {
      const trace = []
      const target = resolve(module, segments, new Set(), trace)
      // A layer without a file in this tree is known by its name alone.
      const top = trace[0] ?? (segments[0] === 'crate' ? segments[1] : undefined)
      if (top) layers.push({ from, top })
      if (!['crate', 'self', 'super'].includes(segments[0])) names.push({ from, name: segments[0] })
      if (target && target.kind === 'item' && target.module.file !== module.file)
        imports.push({ from, to: name(target.module.file), path: segments.join('::') })
    }
    // A macro without a path: one of an enclosing module.
    for (const macro of module.macroCalls) {
      let at = module
      while (at && !at.macros.has(macro)) at = at.parent
      if (at && at.file !== module.file) imports.push({ from, to: name(at.file), path: `${macro}!` })
    }
  }
  return { files: [...new Set(modules.map(({ file }) => name(file)))], imports, layers, names, impls, forbidden }

  function readFile(file, parent, identifier) {
    const text = readFileSync(file, 'utf8')
    // `$crate` of a macro is the same crate; the blank keeps every offset.
    const code = withoutTests(blank(text)).replaceAll('$crate', ' crate')
    // The children of `x.rs` are in `x/`, those of `mod.rs` and `lib.rs` in the same folder.
    const folder = /(^|[\\/])(mod|lib)\.rs$/.test(file) ? dirname(file) : file.replace(/\.rs$/, '')
    return readModule({ file, folder, parent, identifier, text, code, from: 0, to: code.length })
  }

  function readModule({ file, folder, parent, identifier, text, code, from, to }) {
    const module = {
      file,
      parent,
      identifier,
      children: new Map(),
      items: new Set(),
      uses: new Map(),
      globs: [],
      paths: [],
      impls: [],
      macros: new Set(),
      macroCalls: new Set(),
      forbidden: [],
    }
    module.root = parent ? parent.root : module
    modules.push(module)
    let body = code.slice(from, to)

    // Inline modules, outermost first; each is read by itself and then blanked.
    for (;;) {
      const inline = /\bmod\s+(\w+)\s*\{/.exec(body)
      if (!inline) break
      const end = closing(body, inline.index + inline[0].length - 1)
      const [, child] = inline
      const range = { from: from + inline.index + inline[0].length, to: from + end }
      module.children.set(
        child,
        readModule({ file, folder: join(folder, child), parent: module, identifier: child, text, code, ...range }),
      )
      body = erase(body, inline.index, end + 1)
    }
    for (const found of body.matchAll(/\bmod\s+(\w+)\s*;/g)) {
      const [, child] = found
      // `blank` and `erase` keep every offset, and the text still has the string.
      const before = text.slice(0, from + found.index)
      const path = /#\[path\s*=\s*"([^"]+)"\]\s*(?:#\[[^\]]*\]\s*|\/\/[^\n]*\n\s*)*(?:pub(?:\([^)]*\))?\s+)?$/.exec(
        before,
      )?.[1]
      const places = path ? [join(dirname(file), path)] : [join(folder, `${child}.rs`), join(folder, child, 'mod.rs')]
      const place = places.find(existsSync)
      if (place) module.children.set(child, readFile(place, module, child))
    }
    module.forbidden = [...body.matchAll(FORBIDDEN)].map(([what]) => what.replace(/[#[\s]/g, ''))
    for (const [, crate] of body.matchAll(/\bextern\s+crate\s+(\w+)/g)) module.paths.push([crate])
    body = body.replace(/\bpub\s*\(\s*in\s[^)]*\)/g, (found) => ' '.repeat(found.length))
    for (const found of body.matchAll(/\buse\s+([^;]+);/g)) {
      for (const { segments, alias, glob } of useTree(found[1])) {
        if (glob) module.globs.push(segments)
        else module.uses.set(alias, segments)
        module.paths.push(segments)
      }
      body = erase(body, found.index, found.index + found[0].length)
    }
    // Items of functions are among them, which does no harm: nothing outside can name them.
    const definition = /\b(?:struct|enum|trait|fn|type|const|static|union)\s+(?:mut\s+)?(\w+)|\bmacro_rules!\s*(\w+)/g
    for (const [, item, macro] of body.matchAll(definition)) {
      module.items.add(item ?? macro)
      if (macro) module.macros.add(macro)
    }
    for (const [, macro] of body.matchAll(/(?<![\w:])(\w+)!/g)) module.macroCalls.add(macro)
    for (const [, header] of body.matchAll(IMPL)) {
      const type = implementedType(header)
      if (type) module.impls.push(type)
    }
    // `::name` starts at a crate.
    for (const [, crate] of body.matchAll(/(?<![\w>):])::\s*(\w+)/g)) module.paths.push([crate])
    for (const [path] of body.matchAll(/(?<![\w:.$])\w+(?:\s*::\s*\w+)+/g)) module.paths.push(path.split(/\s*::\s*/))
    if (module.globs.length > 0)
      for (const [, word] of body.matchAll(/(?<![\w.:'])([A-Z]\w*|[a-z_]\w*(?=\s*[(!]))/g)) module.paths.push([word])
    return module
  }
}

/**
 * Resolves a path in a module: `{ kind: 'module' | 'item', module }`, or undefined if it leads out of the crate.
 * `trace` collects the top modules that it leads through.
 */
function resolve(module, segments, seen, trace) {
  const key = `${module.file} ${module.identifier} ${segments.join('::')}`
  if (seen.has(key)) return undefined
  seen.add(key)
  // `self::super` is `super`.
  const selfs = segments.findIndex((segment) => segment !== 'self')
  let [first, ...rest] = selfs > 0 && segments[selfs] === 'super' ? segments.slice(selfs) : segments
  let at = module
  let isRelative = false
  if (first === 'crate') at = module.root
  else if (first === 'self') at = module
  else if (first === 'super') {
    at = module.parent
    while (rest[0] === 'super') {
      at = at?.parent
      rest = rest.slice(1)
    }
  } else {
    rest = segments
    isRelative = true
  }
  for (const [position, segment] of rest.entries()) {
    if (!at) return undefined
    const child = childOf(at, segment, trace)
    if (child) {
      at = child
      continue
    }
    const found = named(at, segment, seen, trace)
    if (!found) {
      // A name that a macro makes, say. Of a relative path nothing is known.
      return isRelative && position === 0 ? undefined : { kind: 'item', module: at }
    }
    if (found.kind === 'item') return found
    at = found.module
  }
  return at && { kind: 'module', module: at }
}

/** Resolves a name in a module, unless it is a child module. */
function named(module, name, seen, trace) {
  if (module.items.has(name)) return { kind: 'item', module }
  const use = module.uses.get(name)
  // `use a::{self}` within `a` would refer to itself.
  if (use && !(use.length === 1 && use[0] === name)) return resolve(module, use, seen, trace)
  for (const glob of module.globs) {
    const attempt = []
    const target = resolve(module, glob, seen, attempt)
    if (target?.kind !== 'module' || target.module === module) continue
    const child = childOf(target.module, name, attempt)
    const found = child ? { kind: 'module', module: child } : named(target.module, name, new Set(seen), attempt)
    if (found) {
      trace.push(...attempt)
      return found
    }
  }
  return undefined
}

/** A module's child of this name. */
function childOf(module, name, trace) {
  const child = module.children.get(name)
  if (child && !module.parent) trace.push(name)
  return child
}

/** The path of the type of an inherent `impl`, from what stands between `impl` and its brace. */
function implementedType(header) {
  let depth = 0
  let at = /^\s*/.exec(header)[0].length
  if (header[at] === '<')
    for (; at < header.length; at++) {
      if (header[at] === '<') depth++
      if (header[at] === '>' && header[at - 1] !== '-' && --depth === 0) break
    }
  const rest = depth === 0 && header[at] === '>' ? header.slice(at + 1) : header
  // `for<'a>` binds a lifetime.
  if (/\bfor\b(?!\s*<)/.test(rest)) return undefined
  return /^\s*((?:\w+\s*::\s*)*\w+)/.exec(rest)?.[1].split(/\s*::\s*/)
}

/** The paths of a `use` tree. */
function useTree(tree, prefix = []) {
  const text = tree.trim()
  if (text === '') return []
  const open = text.indexOf('{')
  if (open >= 0) {
    const head = text
      .slice(0, open)
      .split('::')
      .map((word) => word.trim())
      .filter(Boolean)
    return splitTop(text.slice(open + 1, text.lastIndexOf('}'))).flatMap((part) => useTree(part, [...prefix, ...head]))
  }
  const [path, alias] = text.split(/\s+as\s+/)
  const segments = [
    ...prefix,
    ...path
      .split('::')
      .map((word) => word.trim())
      .filter(Boolean),
  ]
  if (segments.at(-1) === '*') return [{ segments: segments.slice(0, -1), glob: true }]
  if (segments.at(-1) === 'self' && segments.length > 1) segments.pop()
  return [{ segments, alias: alias ?? segments.at(-1) }]
}

/** Splits at the commas that stand in no braces. */
function splitTop(text) {
  const parts = ['']
  let depth = 0
  for (const char of text) {
    if (char === '{') depth++
    if (char === '}') depth--
    if (char === ',' && depth === 0) parts.push('')
    else parts[parts.length - 1] += char
  }
  return parts
}

const ITEM =
  /^(?:pub(?:\s*\([^)]*\))?\s+)?(?:(?:default|async|unsafe|const|extern(?:\s+" *")?)\s+)*(?:fn|mod|use|struct|enum|union|impl|trait|type|static|const|let|crate|macro_rules!)\s/

/** The code without what is under `#[cfg(test)]`. */
function withoutTests(code) {
  let rest = code
  for (;;) {
    const found = /#\[cfg\(test\)\]\s*/.exec(rest)
    if (!found) return rest
    let at = found.index + found[0].length
    while (rest[at] === '#')
      at = rest.indexOf(']', at) + 1 + /^\s*/.exec(rest.slice(rest.indexOf(']', at) + 1))[0].length
    rest = erase(rest, found.index, ITEM.test(rest.slice(at)) ? endOfItem(rest, at) : endOfPart(rest, at))
  }
}

/** The end of the item that begins at `at`: after its semicolon or its braces. */
function endOfItem(code, at) {
  // `use a::{b};` has its semicolon after the braces.
  const isUse = /^(?:pub(?:\([^)]*\))?\s+)?use\s/.test(code.slice(at))
  let depth = 0
  for (let end = at; end < code.length; end++) {
    if ('(['.includes(code[end])) depth++
    else if (')]'.includes(code[end])) depth--
    else if (depth === 0 && code[end] === ';') return end + 1
    else if (depth === 0 && code[end] === '{' && !isUse) return closing(code, end) + 1
  }
  return code.length
}

/** The end of the field, variant, parameter, match arm or statement that begins at `at`. */
function endOfPart(code, at) {
  let depth = 0
  let angles = 0
  let isArm = false
  for (let end = at; end < code.length; end++) {
    const char = code[end]
    if ('(['.includes(char)) depth++
    else if (')]}'.includes(char) && depth-- === 0) return end
    else if (char === '{') {
      end = closing(code, end)
      if (depth === 0) return /^\s*,/.test(code.slice(end + 1)) ? code.indexOf(',', end) + 1 : end + 1
    } else if (char === '>' && code[end - 1] === '=') isArm = true
    else if (char === '<') angles++
    else if (char === '>' && code[end - 1] !== '-') angles--
    else if (depth === 0 && (char === ';' || (char === ',' && (isArm || angles <= 0)))) return end + 1
  }
  return code.length
}

/** The position of the brace that closes the one at `open`. */
function closing(code, open) {
  let depth = 0
  for (let at = open; at < code.length; at++) {
    if (code[at] === '{') depth++
    if (code[at] === '}' && --depth === 0) return at
  }
  return code.length
}

const erase = (code, from, to) => code.slice(0, from) + ' '.repeat(to - from) + code.slice(to)

/** The text with comments and literals blanked, every other character at its offset. */
function blank(text) {
  const tokens =
    /\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\/|\b(?:br|cr|r)(#*)"[\s\S]*?"\1|"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\\n]|\\(?:u\{[^}]*\}|x..|.))'/gu
  return text.replace(tokens, (found) => found.replace(/[^\n]/g, ' '))
}
