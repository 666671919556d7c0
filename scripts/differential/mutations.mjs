/**
 * Mutations of the events of a stream, before they are written. Each changes `case.items` in place; it may do nothing
 * where it does not apply.
 */
import { isObject } from './answer.mjs'
import { FIRST, LAST, Raw } from './json.mjs'

const OTHER_VALUES = [
  null,
  true,
  false,
  0,
  1,
  -1,
  1.5,
  '',
  'x',
  '0',
  '7',
  [],
  ['a', 'b'],
  {},
  { a: 1 },
  [{ type: 'text', text: 'a' }],
]
const ODD_NUMBERS = ['1e400', '-1e999', '123456789012345678901234567890', '0.1e-400', '-0', '1E5']
const FINISHES = ['eos', 'end_turn', 'STOP', 'length', 'content_filter', 'stop', 'error', 'abort', 'network_error']
const ERRORS = [
  { error: { message: 'The server had an error', type: 'server_error', code: null } },
  { error: 'upstream failed' },
  { error: { code: 429, message: 'Rate limit reached' } },
  { error: { message: 'insufficient quota', code: 'insufficient_quota' } },
  { error: { message: 'maximum context length is 10 tokens', code: 'context_length_exceeded' } },
  { error: {} },
  { error: null },
  { error: '' },
  { error: false },
  { error: [] },
  { object: 'error', message: 'boom', code: 50001 },
  { detail: 'Internal Server Error' },
]
const GARBAGE = [
  '{',
  'not json',
  '[]',
  '[1]',
  'null',
  '"text"',
  '1',
  'true',
  '{"type":"ping"}',
  '{}',
  '{"choices":null}',
]

const chunksOf = (c) => c.items.filter((item) => typeof item.data === 'object' && Array.isArray(item.data?.choices))
const withChoice = (c) => chunksOf(c).filter((item) => item.data.choices[0]?.delta)
const choices = (c) => withChoice(c).flatMap((item) => item.data.choices)
const deltas = (c) => choices(c).map((choice) => choice.delta)
const calls = (c) => deltas(c).flatMap((delta) => [delta?.tool_calls ?? []].flat().filter(isObject))
const lastFinish = (c) => c.items.findLastIndex((item) => item.data?.choices?.some?.((choice) => choice?.finish_reason))
const insert = (c, r, item) => c.items.splice(r.int(c.items.length + 1), 0, item)

/** An object of a random chunk: the chunk itself, a choice, a delta, a tool call or its function, the usage. */
function objectOf(c, r) {
  const all = chunksOf(c)
  if (all.length === 0) return {}
  const { data } = r.pick(all)
  const choice = data.choices[0]
  const call = choice?.delta?.tool_calls?.[0]
  const objects = [data, choice, choice?.delta, choice?.delta, call, call?.function, data.usage]
  return r.pick(objects.filter((object) => object && typeof object === 'object'))
}
const nameOf = (r, object) => r.pick(Object.keys(object).concat(Object.keys(object).length ? [] : ['x']))

export const MUTATIONS = {
  'a field of another type': (c, r) => {
    const object = objectOf(c, r)
    object[nameOf(r, object)] = r.pick(OTHER_VALUES)
  },
  'a field of another type in every chunk': (c, r) => {
    const name = r.pick(['id', 'created', 'model', 'object', 'system_fingerprint', 'service_tier', 'usage'])
    const value = r.pick(OTHER_VALUES)
    for (const { data } of chunksOf(c)) if (name !== 'usage' || !data.usage) data[name] = value
  },
  'a field removed': (c, r) => {
    const object = objectOf(c, r)
    delete object[nameOf(r, object)]
  },
  'a field removed from every chunk': (c, r) => {
    const name = r.pick(['id', 'created', 'model', 'object'])
    for (const { data } of chunksOf(c)) delete data[name]
  },
  'a field renamed': (c, r) => {
    const object = objectOf(c, r)
    const name = nameOf(r, object)
    object[r.pick([name.toUpperCase(), `${name}_`, 'text', 'message'])] = object[name]
    delete object[name]
  },
  'a field twice': (c, r) => {
    const object = objectOf(c, r)
    const name = nameOf(r, object)
    object[FIRST] = [[name, r.pick([object[name], null, 'x', 1, {}])]]
  },
  'a field twice, the second null': (c, r) => {
    const object = objectOf(c, r)
    object[LAST] = [[nameOf(r, object), null]]
  },
  'an unknown field': (c, r) => {
    objectOf(c, r)[r.pick(['x', 'annotations', 'audio', 'images', 'citations', 'thinking'])] = r.pick(OTHER_VALUES)
  },
  'an odd number': (c, r) => {
    const object = objectOf(c, r)
    object[r.chance(0.5) ? 'x' : nameOf(r, object)] = new Raw(r.pick(ODD_NUMBERS))
  },
  'deep nesting': (c, r) => {
    const depth = r.pick([5, 100, 150, 2000])
    const object = objectOf(c, r)
    // Of usage, and of nothing else, the fields are compared: what is nested deeper than 100 is null there.
    if (!('prompt_tokens' in object)) object.x = new Raw(`${r.pick(['[', '{"a":']).repeat(depth)}1`)
    const raw = chunksOf(c)
    for (const { data } of raw) close(data)
  },
  'indexes as strings': (c) => {
    for (const choice of choices(c)) if (choice.index !== undefined) choice.index = String(choice.index)
  },
  'indexes from one': (c) => {
    for (const choice of choices(c)) choice.index = Number(choice.index) + 1
  },
  'no indexes': (c) => {
    for (const choice of choices(c)) delete choice.index
  },
  'another index in one chunk': (c, r) => {
    const all = choices(c)
    if (all.length) r.pick(all).index = r.pick([5, 127, 128, 4294967296, -1])
  },
  'tool indexes as strings': (c) => {
    for (const call of calls(c)) call.index = String(call.index ?? 0)
  },
  'tool indexes from one': (c) => {
    for (const call of calls(c)) if (call.index !== undefined) call.index = Number(call.index) + 1
  },
  'no tool indexes': (c) => {
    for (const call of calls(c)) delete call.index
  },
  'all tool indexes zero': (c) => {
    for (const call of calls(c)) call.index = 0
  },
  'an id and a name in each tool delta': (c) => {
    const known = {}
    for (const call of calls(c)) {
      if (call.id) known[call.index] = [call.id, call.function?.name]
      else if (known[call.index] && call.function) [call.id, call.function.name] = known[call.index]
    }
  },
  'arguments as an object': (c) => {
    for (const call of calls(c)) {
      try {
        call.function.arguments = JSON.parse(call.function.arguments)
      } catch {}
    }
  },
  'content as a list or a number': (c, r) => {
    for (const delta of deltas(c)) {
      if (typeof delta?.content !== 'string' || r.chance(0.5)) continue
      delta.content = r.pick([[{ type: 'text', text: delta.content }], [delta.content], 42])
    }
  },
  'finish reason in every chunk': (c, r) => {
    const reason = r.pick(['stop', 'length', ''])
    for (const choice of choices(c)) choice.finish_reason ??= reason
  },
  'finish reason early': (c, r) => {
    const all = choices(c)
    if (all.length) r.pick(all).finish_reason = r.pick(['stop', 'stop', 'length'])
  },
  'another finish reason': (c, r) => {
    const reason = r.pick(FINISHES)
    for (const choice of choices(c)) if (choice.finish_reason) choice.finish_reason = reason
  },
  'no finish reason': (c) => {
    for (const choice of choices(c)) choice.finish_reason = null
  },
  'finish reason twice': (c) => {
    const at = lastFinish(c)
    if (at >= 0) c.items.splice(at, 0, structuredClone(c.items[at]))
  },
  'text after the finish': (c) => {
    const at = lastFinish(c)
    const data = withChoice(c)[0]?.data
    if (at < 0 || !data) return
    const late = structuredClone(data)
    late.choices = [{ index: c.items[at].data.choices[0].index, delta: { content: ' late' }, finish_reason: null }]
    c.items.splice(at + 1, 0, { data: late })
  },
  'usage moved': (c, r) => {
    const from = chunksOf(c).filter((item) => item.data.usage)
    if (from.length === 0) return
    const { usage } = from.at(-1).data
    for (const item of from) item.data.usage = null
    r.pick(chunksOf(c)).data.usage = usage
  },
  'usage chunk moved': (c, r) => {
    const at = c.items.findIndex((item) => item.data?.usage && item.data.choices?.length === 0)
    if (at >= 0) insert(c, r, c.items.splice(at, 1)[0])
  },
  'no [DONE]': (c) => {
    c.items = c.items.filter((item) => item.data !== '[DONE]')
  },
  '[DONE] early': (c, r) => insert(c, r, { data: '[DONE]' }),
  '[DONE] twice': (c) => {
    c.items.push({ data: '[DONE]' }, { data: '[DONE]' })
  },
  'a chunk twice': (c, r) => {
    const at = r.int(c.items.length)
    c.items.splice(at, 0, structuredClone(c.items[at]))
  },
  'a chunk lost': (c, r) => {
    c.items.splice(r.int(c.items.length), 1)
  },
  'two chunks swapped': (c, r) => {
    const at = r.int(Math.max(1, c.items.length - 1))
    c.items.splice(at, 2, ...c.items.slice(at, at + 2).reverse())
  },
  'an error event': (c, r) =>
    insert(c, r, { data: structuredClone(r.pick(ERRORS)), event: r.pick([undefined, 'error']) }),
  'an error after the finish': (c, r) => {
    const at = lastFinish(c)
    if (at >= 0) c.items.splice(at + 1, 0, { data: structuredClone(r.pick(ERRORS)) })
  },
  'an error field in a chunk': (c, r) => {
    const all = chunksOf(c)
    if (all.length) r.pick(all).data.error = r.pick(ERRORS).error
  },
  'an error field in every chunk': (c, r) => {
    const error = r.pick([null, '', false, {}, [], 0])
    for (const { data } of chunksOf(c)) data.error = error
  },
  'an error in a choice': (c, r) => {
    const all = choices(c)
    if (all.length) r.pick(all).error = r.pick(ERRORS).error
  },
  'a garbage event': (c, r) => insert(c, r, { data: r.pick(GARBAGE) }),
  'a message instead of a delta': (c) => {
    for (const choice of choices(c)) {
      choice.message = choice.delta
      delete choice.delta
    }
  },
  'a text instead of a delta': (c) => {
    for (const choice of choices(c)) {
      choice.text = choice.delta?.content ?? ''
      delete choice.delta
    }
  },
  'event names': (c, r) => {
    const event = r.pick(['message', 'chat.completion.chunk', 'delta', 'completion'])
    for (const item of c.items) if (item.data !== undefined) item.event ??= event
  },
  'named pings': (c, r) => {
    for (let count = 1 + r.int(3); count > 0; count--)
      insert(c, r, { event: r.pick(['ping', 'heartbeat', 'keepalive']), data: r.pick(['{}', '{"type":"ping"}', '']) })
  },
  comments: (c, r) => {
    for (let count = 1 + r.int(4); count > 0; count--) insert(c, r, { comment: r.pick([':', ': ping', ':data: {}']) })
  },
}

/** Closes the nesting that was opened in a field `x`. */
function close(value) {
  if (!value || typeof value !== 'object') return
  for (const [name, field] of Object.entries(value)) {
    if (field instanceof Raw && name === 'x' && /^(\[|\{"a":)+1$/.test(field.json)) {
      const depth = field.json.split(/\[|\{/).length - 1
      field.json += (field.json[0] === '[' ? ']' : '}').repeat(depth)
    } else close(field)
  }
}
