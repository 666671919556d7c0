/**
 * Reads the caller's objects without their prototypes. Code that pollutes `Object.prototype` (a vulnerable parser of query
 * strings is enough) must not decide where a key is sent.
 */

/** Gives an object that was just created no prototype, so that reading a missing option finds nothing. */
export function bare<T extends object>(object: T): T {
  return Object.setPrototypeOf(object, null)
}

/** A property of the object itself; undefined if it only inherits it. */
export function own(object: unknown, name: PropertyKey): unknown {
  if (typeof object !== 'object' || object === null || !Object.hasOwn(object, name)) return undefined
  return (object as Record<PropertyKey, unknown>)[name]
}

/** A variable of the environment; an empty one counts as unset. */
export function environment(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  return (Object.hasOwn(env, name) && env[name]) || undefined
}

/**
 * A copy of an options object without prototypes: the own enumerable properties of the object, and of the plain objects and
 * arrays in it. Instances of classes (a breaker, a signal, a logger, a buffer) stay as they are.
 */
export function ownOptions(options: object, known?: Map<object, object>): Record<string, unknown> {
  const copy: Record<string, unknown> = bare({})
  let copies = known?.set(options, copy)
  const add = (key: string) => {
    const value = (options as Record<string, unknown>)[key]
    if (typeof value === 'object' && value !== null) {
      // Most options have no objects in them.
      copies ??= new Map([[options, copy]])
      copy[key] = copied(value, copies)
    } else copy[key] = value
  }
  Object.keys(options).forEach(add)
  for (const key of Object.getOwnPropertySymbols(options) as never[]) {
    if (Object.prototype.propertyIsEnumerable.call(options, key)) add(key)
  }
  return copy
}

function copied(value: unknown, copies: Map<object, object>): unknown {
  if (typeof value !== 'object' || value === null) return value
  // A cycle stays one, and is rejected when the options are encoded.
  const known = copies.get(value)
  if (known) return known
  if (Array.isArray(value)) {
    const copy: unknown[] = []
    copies.set(value, copy)
    for (const item of value) copy.push(copied(item, copies))
    return copy
  }
  return isPlain(value) ? ownOptions(value, copies) : value
}

/** Whether an object is a literal, of this realm or another one. */
function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object)
  return prototype === null || isRoot(prototype)
}

/** Whether this is the `Object.prototype` of a realm. */
function isRoot(object: object): boolean {
  return Object.getPrototypeOf(object) === null && Object.hasOwn(object, 'hasOwnProperty')
}

/** The members of `RequestInit` that an instance of a class such as `Request` may inherit. */
const INIT_MEMBERS = [
  'method',
  'headers',
  'body',
  'redirect',
  'signal',
  'credentials',
  'cache',
  'mode',
  'referrer',
  'referrerPolicy',
  'integrity',
  'keepalive',
  'duplex',
  'dispatcher',
  'priority',
]

/** A copy of the options of `fetch`, which may be an instance of a class, without what `Object.prototype` has. */
export function ownInit(init: RequestInit | undefined | null): RequestInit | undefined {
  if (typeof init !== 'object' || init === null) return undefined
  const copy: Record<string, unknown> = bare({ ...init })
  for (const name of INIT_MEMBERS) {
    if (!(name in copy) && inherits(init, name)) copy[name] = (init as Record<string, unknown>)[name]
  }
  return copy as RequestInit
}

/** Whether a prototype other than `Object.prototype` has a property. */
function inherits(object: object, name: string): boolean {
  for (let link = Object.getPrototypeOf(object); link !== null && !isRoot(link); link = Object.getPrototypeOf(link)) {
    if (Object.hasOwn(link, name)) return true
  }
  return false
}

/** Like `JSON.parse`, for an object of which the reader expects some properties; undefined for anything else. */
export function parseObject(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text ?? '')
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? bare(value) : undefined
  } catch {
    return undefined
  }
}

/** Like `JSON.stringify`, but a `toJSON` that is not the value's own or its class's is not called. */
export function stringify(value: unknown, replacer?: (key: string, value: unknown) => unknown): string | undefined {
  const isPolluted = 'toJSON' in Object.prototype || 'toJSON' in Array.prototype || 'toJSON' in Function.prototype
  return JSON.stringify(isPolluted ? withoutPollution(value, []) : value, replacer)
}

function withoutPollution(value: unknown, parents: object[]): unknown {
  if (typeof value !== 'object' || value === null || parents.includes(value)) return value
  if (Array.isArray(value)) return bare(value.map((item) => withoutPollution(item, [...parents, value])))
  if (Object.hasOwn(value, 'toJSON') || inherits(value, 'toJSON')) return value
  if (Symbol.iterator in value) return value
  const copy: Record<string, unknown> = bare({})
  for (const [name, member] of Object.entries(value)) copy[name] = withoutPollution(member, [...parents, value])
  return copy
}
