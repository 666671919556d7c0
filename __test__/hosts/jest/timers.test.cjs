const { exercise, expected } = require('../exercise.cjs')
const { load } = require('../load.cjs')

describe.each([
  ['modern', {}],
  ['legacy', { legacyFakeTimers: true }],
])('%s fake timers', (_name, options) => {
  beforeEach(() => jest.resetModules())
  afterEach(() => jest.useRealTimers())

  test('after the package is loaded', async () => {
    const holysheep = load(require)
    jest.useFakeTimers(options)
    const results = await exercise(holysheep)
    expect(results).toEqual(expected(results))
  }, 60_000)

  test('before the package is loaded', async () => {
    jest.useFakeTimers(options)
    const results = await exercise(load(require))
    expect(results).toEqual(expected(results))
  }, 60_000)
})

test('fake timers control the waits that are a purpose of their own', async () => {
  jest.useFakeTimers()
  const { HolySheepStreamingClient, retryWithBackoff } = load(require)
  const waits = [
    new HolySheepStreamingClient('k').sleep(60_000),
    retryWithBackoff(({ attempt }) => {
      if (attempt === 1) throw Object.assign(new Error('reset'), { code: 'ECONNRESET' })
    }),
  ]
  await jest.advanceTimersByTimeAsync(60_000)
  await Promise.all(waits)
  jest.useRealTimers()
})
