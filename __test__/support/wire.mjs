// Shared by the tests of what providers send: every way to read an answer, with the same scenarios.
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { createFetch } from '../../fetch.mjs'
import { contentOf, KEY, METHODS, pair, QUICK, REQUEST } from './provider.mjs'

/** A chunk with one choice. */
export const chunk = (delta, finish_reason = null, more = {}) => ({
  id: 'c',
  object: 'chat.completion.chunk',
  created: 1700000000,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason }],
  ...more,
})

export const STOP = chunk({}, 'stop')

/** A scenario of exact events that end with `stop`. */
export const deltas = (...list) => ({ events: [...list.map((delta) => chunk(delta)), STOP] })

/**
 * Reads the scenarios (one per request, the last one for all that follow) with each of `METHODS` and with the `openai`
 * package over `createFetch`, or with some of these `methods`. Yields what each got: `text` or `error`, the `deltas` that were delivered, and `requests`.
 */
export async function* outcomes(t, scenarios, { methods, ...options } = {}) {
  const { simulator, client } = await pair(t, options)
  const fetch = createFetch({ ...QUICK, ...options })
  t.after(() => fetch.close())
  const openai = new OpenAI({ apiKey: KEY, baseURL: simulator.url, fetch, maxRetries: 0 })
  const overFetch = async (_client, deltas) => {
    const stream = await openai.chat.completions.create({ ...REQUEST, model: 'm', stream: true })
    for await (const chunk of stream) deltas.push(contentOf(chunk))
    return { text: deltas.join('') }
  }
  for (const [method, call] of Object.entries({ ...METHODS, overFetch })) {
    if (methods && !methods.includes(method)) continue
    simulator.reset()
    simulator.script(...scenarios.slice(0, -1))
    simulator.setDefault(scenarios.at(-1))
    const outcome = { method, deltas: [] }
    try {
      outcome.text = (await call(client, outcome.deltas)).text
    } catch (error) {
      outcome.error = error
    }
    outcome.requests = simulator.requests.length
    yield outcome
  }
}

/** Asserts that every way gets this text with this many requests. */
export async function assertText(t, scenarios, expected, { requests = 1, ...options } = {}) {
  for await (const { method, text, error, ...rest } of outcomes(t, scenarios, options)) {
    assert.equal(error, undefined, `${method}: ${error?.stack}`)
    assert.deepEqual([method, text, rest.requests], [method, expected, requests])
  }
}

/** Asserts that every way fails with this text in its error or in a cause of it. */
export async function assertFailure(t, scenarios, pattern, { requests = 1, delivered, ...options } = {}) {
  for await (const { method, text, error, deltas, ...rest } of outcomes(t, scenarios, options)) {
    assert.ok(error, `${method} succeeded with ${JSON.stringify(text)}`)
    assert.match(wordsOf(error), pattern, method)
    assert.deepEqual([method, rest.requests], [method, requests])
    if (delivered !== undefined && deltas.length > 0) assert.equal(deltas.join(''), delivered, method)
  }
}

/** The code and the message of an error and of its causes. */
function wordsOf(error) {
  const causes = []
  for (let at = error; at; at = at.cause) causes.push(`${at.code}: ${at.message}`)
  return causes.join('\n')
}
