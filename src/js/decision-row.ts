/** The caller's decision table, read by Rust. */
import { addon } from './native'
import { encode } from './options'

/** The row of `retryOn` for an error, if there is one. */
export function decisionRow(retryOn: unknown, code: unknown, status: unknown): unknown {
  if (!retryOn) return undefined
  const number = Number(status)
  const row = addon.decisionRow(encode(retryOn), String(code ?? ''), Number.isInteger(number) ? number : undefined)
  return row && JSON.parse(row)
}
