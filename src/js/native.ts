/** The addon. Its types in `native/` are made by the build. */
import type * as Addon from '../../native/index'
import { load } from './load'

export const addon = load() as typeof Addon
