/** The addon. `native/` is made by the build. */
import type * as Addon from '../../native/index'

export const addon: typeof Addon = require('../native/index.cjs')
