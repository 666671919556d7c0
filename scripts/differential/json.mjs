/** JSON that `JSON.stringify` cannot write: duplicate keys, numbers beyond a double's range, deep nesting. */
export class Raw {
  constructor(json) {
    this.json = json
  }
}

/** The fields before (`FIRST`) or after (`LAST`) those of the object, with keys that may occur again. */
export const FIRST = Symbol('first')
export const LAST = Symbol('last')

export function encode(value) {
  if (value instanceof Raw) return value.json
  if (Array.isArray(value)) return `[${value.map(encode).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = [...(value[FIRST] ?? []), ...Object.entries(value), ...(value[LAST] ?? [])]
  return `{${entries.map(([name, field]) => `${JSON.stringify(name)}:${encode(field)}`).join(',')}}`
}
