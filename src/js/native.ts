/** The addon. The build generates its types in `native/`. */
import type * as Addon from '../../native/index'
import { type Brand, registerCopy } from './copies'
import { load, version } from './load'

/** This copy of the package. */
export const copy = registerCopy(version, () => load() as typeof Addon)
export const { addon } = copy

/** Whether an object comes from this copy, or from one that shares the addon with it. */
export function isOurs(brand: Brand): boolean {
  return brand.copy.addon === addon
}

/** The symbol of an internal property, which other copies of this version understand. */
export const internalSymbol = (name: string): symbol => Symbol.for(`holysheep.${version}.${name}`)
