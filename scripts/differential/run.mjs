/** Runs cases, and collects their differences. */
import { caseOf } from './case.mjs'
import { difference } from './compare.mjs'
import { modesOf } from './modes.mjs'
import { serve } from './server.mjs'

const CONCURRENT = 8

/** Calls `onCase({ c, results, differences })` for each case, in any order. */
export async function run({ seed, numbers, onCase }) {
  const server = await serve()
  const modes = modesOf(server.url)
  const next = numbers[Symbol.iterator]()
  const worker = async () => {
    for (const number of next) {
      const c = caseOf(seed, number)
      server.cases.set(String(number), c)
      const results = {}
      for (const [mode, read] of Object.entries(modes)) results[mode] = await read(c)
      server.cases.delete(String(number))
      onCase({ c, results, differences: differences(c, results) })
    }
  }
  try {
    await Promise.all(Array.from({ length: CONCURRENT }, worker))
  } finally {
    server.close()
  }
}

function differences(c, { sdk, ...ours }) {
  const all = Object.entries(ours).map(([mode, result]) => difference(c, mode, sdk, result))
  // Each way of reading sends one request.
  const requests = Object.keys(ours).length + 1
  if (c.requests !== requests) all.push({ kind: 'more than one request', detail: `${c.requests} of ${requests}` })
  return all.filter(Boolean)
}
