// Reads what a Linux shared object requires of the system that loads it, without binutils.
import { readFileSync } from 'node:fs'

const SHT_DYNAMIC = 6
const SHT_GNU_VERNEED = 0x6ffffffe
const DT_NEEDED = 1n

/**
 * The libraries that a 64-bit little-endian ELF file needs, and the symbol versions that it needs of each
 * (gABI, and "Symbol Versioning" of the Linux Standard Base): `{ libraries: ['libc.so.6'], versions: { 'libc.so.6': ['GLIBC_2.28'] } }`.
 */
export function requirements(path) {
  const file = readFileSync(path)
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new Error(`${path}: not a 64-bit little-endian ELF file`)
  }
  const [start, size, count] = [Number(file.readBigUInt64LE(40)), file.readUInt16LE(58), file.readUInt16LE(60)]
  const sections = Array.from({ length: count }, (_, at) => {
    const header = start + at * size
    return {
      type: file.readUInt32LE(header + 4),
      offset: Number(file.readBigUInt64LE(header + 24)),
      size: Number(file.readBigUInt64LE(header + 32)),
      link: file.readUInt32LE(header + 40),
      info: file.readUInt32LE(header + 44),
    }
  })
  /** The string at an offset in the string table of a section. */
  const string = ({ link }, offset) => {
    const from = sections[link].offset + offset
    return file.toString('latin1', from, file.indexOf(0, from))
  }

  const libraries = []
  const versions = {}
  for (const section of sections) {
    if (section.type === SHT_DYNAMIC) {
      for (let at = section.offset; at < section.offset + section.size; at += 16) {
        if (file.readBigInt64LE(at) === DT_NEEDED) libraries.push(string(section, Number(file.readBigUInt64LE(at + 8))))
      }
    }
    if (section.type !== SHT_GNU_VERNEED) continue
    for (let need = section.offset, remaining = section.info; remaining > 0; remaining--) {
      const library = string(section, file.readUInt32LE(need + 4))
      let aux = need + file.readUInt32LE(need + 8)
      for (let names = file.readUInt16LE(need + 2); names > 0; names--) {
        versions[library] = [...(versions[library] ?? []), string(section, file.readUInt32LE(aux + 8))]
        aux += file.readUInt32LE(aux + 12)
      }
      need += file.readUInt32LE(need + 12)
    }
  }
  return { libraries, versions }
}

/** The newest glibc that a file needs, as `[2, 28]`; `[0, 0]` if it needs none. */
export function newestGlibc(path) {
  const names = Object.values(requirements(path).versions).flat()
  return names
    .filter((name) => /^GLIBC_\d/.test(name))
    .map((name) => name.slice('GLIBC_'.length).split('.').map(Number))
    .reduce((newest, version) => (compare(version, newest) > 0 ? version : newest), [0, 0])
}

/** Compares two versions, number by number. */
export function compare(a, b) {
  return a[0] - b[0] || (a[1] ?? 0) - (b[1] ?? 0) || (a[2] ?? 0) - (b[2] ?? 0)
}
