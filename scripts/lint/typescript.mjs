// The imports of TypeScript files.
import { posix } from 'node:path'

const IMPORT = /(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*(['"])(\.{1,2}(?:\/[^'"]*)?)\1/g

/** The relative imports among these files: of values and of types, static, dynamic and by `require`. */
export function typescriptImports(files, read) {
  const known = new Set(files)
  return files.flatMap((from) => {
    const code = read(from).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
    return [...code.matchAll(IMPORT)].flatMap(([, , specifier]) => {
      const path = posix.join(posix.dirname(from), specifier).replace(/\.[cm]?js$/, '')
      const to = [`${path}.ts`, `${path}/index.ts`].find((file) => known.has(file))
      return to ? [{ from, to }] : []
    })
  })
}
