/**
 * The copies of this package in a process: two installations in a monorepo, or one that a test runner has loaded again.
 * Copies of one version share the addon of the first, so that what one creates works in the other. An object of another
 * version is refused: `brandOf` recognizes it.
 */
import { dirname } from 'node:path'

export interface Copy {
  readonly version: string
  /** Where it was loaded from. */
  readonly path: string
  readonly addon: object
}

/** The property of the global object that has the copies of this thread. */
const COPIES = Symbol.for('holysheep.copies')
/** The property by which a copy recognizes an object of another one. */
export const BRAND = Symbol.for('holysheep.brand')
/** The property of the prototype of an error class with its name. */
const ERROR_CLASS = Symbol.for('holysheep.error')

/** What an object says about itself. */
export interface Brand {
  /** Its class, with an article. */
  readonly kind: string
  readonly copy: Copy
  /** Its Rust object. */
  readonly native?: unknown
}

/** The copies that have been loaded, in order. */
export function copies(): Copy[] {
  const known = Object.getOwnPropertyDescriptor(globalThis, COPIES)?.value
  return Array.isArray(known) ? known : []
}

/** Registers this copy, which `load` gives an addon, unless a copy of the same version has one. */
export function registerCopy<T extends object>(version: string, load: () => T): Copy & { addon: T } {
  const addon = (copies().find((copy) => copy.version === version)?.addon as T | undefined) ?? load()
  // A bundle in ESM has no `__dirname`.
  const path = typeof __dirname === 'string' ? dirname(__dirname) : (process.argv[1] ?? '')
  const copy = { version, path, addon }
  try {
    Object.defineProperty(globalThis, COPIES, { value: [...copies(), copy], configurable: true })
  } catch {
    // The global object is frozen. Then other copies are refused.
  }
  return copy
}

/** The brand of an object of this package, of whichever copy. */
export function brandOf(value: unknown): Brand | undefined {
  return typeof value === 'object' && value !== null ? (value as { [BRAND]?: Brand })[BRAND] : undefined
}

/** Has `instanceof` recognize the errors of other copies, by the names of their classes. */
export function brandErrors(classes: Record<string, { prototype: object }>) {
  for (const [name, Class] of Object.entries(classes)) {
    Object.defineProperty(Class.prototype, ERROR_CLASS, { value: name })
    // A subclass of the caller's inherits it, and has no name of its own.
    Object.defineProperty(Class, Symbol.hasInstance, { value: isInstance, configurable: true })
  }
}

function isInstance(this: { prototype: object }, value: unknown): boolean {
  if (Function.prototype[Symbol.hasInstance].call(this as never, value)) return true
  const name = errorClass(this.prototype)
  if (name === undefined || typeof value !== 'object') return false
  for (let link = value; link !== null; link = Object.getPrototypeOf(link)) {
    if (errorClass(link) === name) return true
  }
  return false
}

function errorClass(prototype: object): unknown {
  return Object.getOwnPropertyDescriptor(prototype, ERROR_CLASS)?.value
}
