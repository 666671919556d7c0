/** The case with a number: a stream, mutated and cut at random, all of it derived from the seed. */
import { answerOf } from './answer.mjs'
import { bytesOf, dataOf, FRAMINGS } from './framing.mjs'
import { MUTATIONS } from './mutations.mjs'
import { random } from './random.mjs'
import { streamOf } from './streams.mjs'

export function caseOf(seed, number) {
  const r = random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b))
  const c = { number, ...streamOf(r), framing: {}, mutations: [], requests: 0 }
  for (let count = r.pick([0, 1, 1, 1, 1, 2, 2, 3]); count > 0; count--) {
    const isFraming = r.chance(0.35)
    const name = r.pick(Object.keys(isFraming ? FRAMINGS : MUTATIONS))
    c.mutations.push(name)
    if (isFraming) FRAMINGS[name](c.framing, r)
    else MUTATIONS[name](c, r)
  }
  // What the events say, however they are written.
  c.events = c.items.flatMap((item) => (item.data === undefined || item.data === '[DONE]' ? [] : parsed(dataOf(item))))
  c.intended = answerOf(c.events, c.n)
  c.bytes = bytesOf(c)
  c.cuts = Array.from({ length: r.pick([0, 0, 1, 3, 10]) }, () => r.int(c.bytes.length + 1)).sort((a, b) => a - b)
  return c
}

function parsed(json) {
  try {
    return [JSON.parse(json)]
  } catch {
    return []
  }
}
