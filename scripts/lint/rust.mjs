// The imports of a Rust crate, file by file. A path is followed through re-exports to the file that defines
// the item, so that an import through a facade (a `mod.rs` that only declares and re-exports) counts as an import
// of the file behind it, and `mod x;` does not count. Tests are left out.
//
// This reads tokens and not types, so it does not see method calls on values.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'

/**
 * Reads the crate whose root is `lib.rs` in the folder `source`.
 *
 * - `files`: the files that were read.
 * - `imports`: `{ from, to, path }`, files of which one uses an item of the other.
 * - `layers`: `{ from, top }`, a file and the top module of a path that it names.
 * - `names`: `{ from, name }`, a file and the first word of a path that leads out of the crate.
 */
export function readCrate(source) {
  const modules = []
  readFile(join(source, 'lib.rs'), undefined, 'crate')
  const name = (file) => relative(source, file).split(sep).join('/')
  const imports = []
  const layers = []
  const names = []
  for (const module of modules) {
    const from = name(module.file)
    for (const segments of module.paths) {
      const top = topOf(module, segments)
      if (top) layers.push({ from, top })
      if (!['crate', 'self', 'super'].includes(segments[0])) names.push({ from, name: segments[0] })
      const target = resolve(module, segments)
      if (target && target.kind === 'item' && target.module.file !== module.file)
        imports.push({ from, to: name(target.module.file), path: segments.join('::') })
    }
  }
  return { files: [...new Set(modules.map(({ file }) => name(file)))], imports, layers, names }

  function readFile(file, parent, identifier) {
    const text = readFileSync(file, 'utf8')
    const code = withoutTests(blank(text))
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
      // `blank` and `erase` keep every offset, so the original text still has the string there.
      const before = text.slice(0, from + found.index)
      const path = /#\[path\s*=\s*"([^"]+)"\]\s*(?:#\[[^\]]*\]\s*|\/\/[^\n]*\n\s*)*(?:pub(?:\([^)]*\))?\s+)?$/.exec(
        before,
      )?.[1]
      const places = path ? [join(dirname(file), path)] : [join(folder, `${child}.rs`), join(folder, child, 'mod.rs')]
      const place = places.find(existsSync)
      if (place && !isTest(relative(source, place))) module.children.set(child, readFile(place, module, child))
    }
    body = body.replace(/\bpub\s*\(\s*in\s[^)]*\)/g, (found) => ' '.repeat(found.length))
    for (const found of body.matchAll(/\buse\s+([^;]+);/g)) {
      for (const { segments, alias, glob } of useTree(found[1])) {
        if (glob) module.globs.push(segments)
        else module.uses.set(alias, segments)
        module.paths.push(segments)
      }
      body = erase(body, found.index, found.index + found[0].length)
    }
    // This includes items inside functions, which is harmless: nothing outside can name them.
    const definition = /\b(?:struct|enum|trait|fn|type|const|static|union)\s+(?:mut\s+)?(\w+)|\bmacro_rules!\s*(\w+)/g
    for (const [, item, macro] of body.matchAll(definition)) module.items.add(item ?? macro)
    for (const [path] of body.matchAll(/(?<![\w:.$])\w+(?:\s*::\s*\w+)+/g)) module.paths.push(path.split(/\s*::\s*/))
    if (module.globs.length > 0)
      for (const [, word] of body.matchAll(/(?<![\w.:'])([A-Z]\w*|[a-z_]\w*(?=\s*[(!]))/g)) module.paths.push([word])
    return module
  }
}

/** Resolves a path in a module: `{ kind: 'module' | 'item', module }`, or undefined if it leads out of the crate. */
function resolve(module, segments, seen = new Set()) {
  const key = `${module.file} ${module.identifier} ${segments.join('::')}`
  if (seen.has(key)) return undefined
  seen.add(key)
  let [first, ...rest] = segments
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
    const child = at.children.get(segment)
    if (child) {
      at = child
      continue
    }
    const found = named(at, segment, seen)
    if (!found) {
      // Perhaps a name that a macro generates. The target of a relative path is unknown.
      return isRelative && position === 0 ? undefined : { kind: 'item', module: at }
    }
    if (found.kind === 'item') return found
    at = found.module
  }
  return at && { kind: 'module', module: at }
}

/** Resolves a name in a module, unless it is a child module. */
function named(module, name, seen) {
  if (module.items.has(name)) return { kind: 'item', module }
  const use = module.uses.get(name)
  // `use a::{self}` within `a` would refer to itself.
  if (use && !(use.length === 1 && use[0] === name)) return resolve(module, use, seen)
  for (const glob of module.globs) {
    const target = resolve(module, glob, seen)
    if (target?.kind !== 'module' || target.module === module) continue
    const child = target.module.children.get(name)
    if (child) return { kind: 'module', module: child }
    const found = named(target.module, name, new Set(seen))
    if (found) return found
  }
  return undefined
}

/** The top-level module that a path names: the segment after `crate`, even if the path reaches it through `super`. */
function topOf(module, segments) {
  if (segments[0] === 'crate') return segments[1]
  if (segments[0] !== 'super') return undefined
  let at = module.parent
  let rest = segments.slice(1)
  while (rest[0] === 'super') {
    at = at?.parent
    rest = rest.slice(1)
  }
  return at && !at.parent ? rest[0] : undefined
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

/** Splits at the commas outside of braces. */
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

/** Whether a file contains only tests, by its name. */
export function isTest(path) {
  return /(^|[\\/])tests[\\/]|(^|[\\/])tests\.rs$|_tests\.rs$/.test(path)
}

/** The code without the items under `#[cfg(test)]`. */
function withoutTests(code) {
  let rest = code
  for (;;) {
    const found = /#\[cfg\(test\)\]\s*/.exec(rest)
    if (!found) return rest
    let at = found.index + found[0].length
    while (rest[at] === '#')
      at = rest.indexOf(']', at) + 1 + /^\s*/.exec(rest.slice(rest.indexOf(']', at) + 1))[0].length
    const end = /[{;]/.exec(rest.slice(at))
    if (!end) return rest.slice(0, found.index)
    const stop = end[0] === ';' ? at + end.index : closing(rest, at + end.index)
    // `use a::{b};` has its semicolon after the braces.
    const isUse = /^(?:pub(?:\([^)]*\))?\s+)?use\s/.test(rest.slice(at))
    rest = erase(rest, found.index, isUse ? rest.indexOf(';', at) + 1 : stop + 1)
  }
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

/** The text with comments and literals blanked; every other character keeps its offset. */
function blank(text) {
  const tokens =
    /\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\/|\b(?:br|cr|r)(#*)"[\s\S]*?"\1|"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\\n]|\\(?:u\{[^}]*\}|x..|.))'/gu
  return text.replace(tokens, (found) => found.replace(/[^\n]/g, ' '))
}
