import { afterEach, expect, test, vi } from 'vitest'
import { exercise, expected } from '../exercise.cjs'

const toFake = [
  ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'],
  ...['Date', 'performance', 'hrtime', 'queueMicrotask', 'nextTick'],
]
const load = async () => ({
  ...(await import('holysheep')),
  ...(await import('holysheep/simulator')),
  ...(await import('holysheep/fetch')),
})

afterEach(() => vi.useRealTimers())

// The second test has the package that the first one has loaded.
for (const when of ['before', 'after']) {
  test(`fake timers ${when} the package is loaded`, async () => {
    vi.useFakeTimers({ toFake })
    const results = await exercise(await load())
    expect(results).toEqual(expected(results))
  }, 60_000)
}
