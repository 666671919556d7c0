/** The addon. The build generates its types in `native/`. */
import type * as Addon from '../../native/index'
import { load } from './load'

export const addon = load() as typeof Addon
