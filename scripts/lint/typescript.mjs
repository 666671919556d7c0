// The imports of TypeScript files and declarations.
//
// This reads text and not syntax: a specifier that is computed is not seen, and code in a string counts as code.
import { posix } from 'node:path'

const IMPORT = /(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*(['"`])([^'"`\n$]+)\1/g
const REFERENCE = /^\s*\/\/\/\s*<reference\s+path\s*=\s*(['"])([^'"]+)\1/gm
/** What a comment may not start in, and comments: strings, templates, and regular expressions where a value stands. */
const TOKENS =
  /(['"])(?:[^\\\n]|\\[\s\S])*?\1|`(?:[^`\\]|\\[\s\S])*`|\/\/.*|\/\*[\s\S]*?\*\/|(?<=(?:[(,=:[!&|?{};]|\breturn)\s*)\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\//g

/**
 * The imports among these files: of values and of types, static, dynamic, by `require` and by `<reference path>`.
 * `byName` are the files that import the package by its own `name`, which would hide what they import.
 */
export function typescriptImports(files, read, name) {
  const known = new Set(files)
  const imports = []
  const byName = []
  for (const from of files) {
    const text = read(from)
    const code = text.replace(TOKENS, (token) => (/^\/[/*]/.test(token) ? ' ' : token))
    for (const [, , path] of text.matchAll(REFERENCE)) add(from, `./${path}`)
    for (const [, , specifier] of code.matchAll(IMPORT)) {
      if (/^\.{1,2}(?:\/|$)/.test(specifier)) add(from, specifier)
      else if (name && (specifier === name || specifier.startsWith(`${name}/`))) byName.push(from)
    }
  }
  return { imports, byName }

  function add(from, specifier) {
    const path = posix.join(posix.dirname(from), specifier).replace(/\/$/, '')
    const base = path.replace(/\.d\.[cm]?ts$|\.[cm]?[jt]s$/, '')
    const to = [path, `${base}.ts`, `${base}.d.ts`, `${path}/index.ts`, `${path}/index.d.ts`].find((file) =>
      known.has(file),
    )
    if (to) imports.push({ from, to })
  }
}
