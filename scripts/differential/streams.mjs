/** The stream of one answer: a provider, a text, tool calls, a refusal, one or two choices. */
import { PROVIDERS, usageOf } from './providers.mjs'

const TEXTS = [
  'The quick brown fox jumps over a lazy dog.',
  'Xin chào! Mạng chập chờn nên câu trả lời đến từng chữ một.',
  '你好，世界。今天的天气很好，我们去公园吧。',
  'Sheep 🐑, family 👩‍👩‍👧, flag 🇻🇳, done ✅.',
  'line one\nline two\r\n"quoted" \\ {"json": [1, 2]} data: [DONE]\n\n\u2028 end',
  '12345 67.5 true null',
]
const REASONING = ['I think', ' about', ' it 🤔', '.']
const CALLS = [
  ['get_weather', { city: 'Hà Nội', unit: 'celsius' }],
  ['search', { query: 'emoji 🐑 "quoted"', limit: 3 }],
  ['get_time', {}],
]

/** `{ provider, kind, n, items }`: an item is an event with `data`, or a `comment`. */
export function streamOf(r) {
  const provider = r.pick(Object.keys(PROVIDERS))
  const of = PROVIDERS[provider]
  const kind = r.pick(['text', 'text', 'text', 'reasoning', 'tools', 'tools', 'text and tools', 'refusal', 'n2'])
  const n = kind === 'n2' ? 2 : 1
  const items = (of.first ?? []).map((data) => ({ data }))
  const base = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1700000000, model: 'm-1', ...of.chunk }
  const usage = usageOf(r)
  const choice = (index, delta, finish) => ({
    index,
    delta: { ...of.delta, ...delta },
    ...of.choice,
    ...(of.text && { text: delta.content ?? '' }),
    finish_reason: finish,
  })
  const push = (choices, more = {}) => {
    if (of.comments && r.chance(0.3)) items.push({ comment: of.comments })
    const every = of.usage === 'every' ? { usage } : of.nulls ? { usage: null } : {}
    items.push({ data: { ...base, choices, ...every, ...more } })
  }
  const deltas = Array.from({ length: n }, () => deltasOf(r, of, kind))
  for (let at = 0; at < Math.max(...deltas.map((list) => list.length)); at++) {
    const now = deltas.flatMap((list, index) => (list[at] ? [choice(index, list[at], null)] : []))
    const first = at === 0 ? of.firstFields : {}
    if (now.length > 1 && r.chance(0.3)) push(now, first)
    else for (const one of now) push([one], first)
  }
  const reason = kind.includes('tools') ? 'tool_calls' : r.pick(['stop', 'stop', 'stop', 'length'])
  for (let index = 0; index < n; index++) {
    const last = index === n - 1
    const finish = choice(index, of.emptyFinish ? { content: '' } : {}, reason)
    if (of.usage === 'choice') finish.usage = usage
    const more = last && of.usage === 'finish' ? { usage } : last && of.usage === 'x_groq' ? { x_groq: { usage } } : {}
    push([finish], more)
  }
  if (of.usage === 'last' || of.usage === 'own' || !of.usage) push([], { usage, ...of.lastFields })
  if (of.usage === 'after' || of.usage === 'last choice')
    push([{ ...choice(0, { content: '' }, of.usage === 'after' ? reason : null) }], { usage })
  if (of.done !== false) items.push({ data: '[DONE]' })
  // The parts of a provider are shared by its streams, and mutations change them.
  return { provider, kind, n, items: structuredClone(items) }
}

function deltasOf(r, of, kind) {
  const deltas = []
  if (of.roleFirst !== false) deltas.push({ role: 'assistant', content: r.pick(['', null]) })
  if (kind === 'reasoning' && of.reasoning !== null) {
    const reasoning = of.reasoning ?? ((text) => ({ reasoning_content: text }))
    deltas.push(...REASONING.map(reasoning))
  }
  const text = (name) => pieces(r, r.pick(TEXTS)).map((part) => ({ [name]: contentOf(r, of, part, name) }))
  if (kind === 'refusal') deltas.push(...text('refusal'))
  else if (kind !== 'tools') deltas.push(...text('content'))
  if (kind.includes('tools')) deltas.push(...toolDeltas(r, of))
  return deltas
}

function contentOf(r, of, part, name) {
  if (name === 'refusal') return part
  if (of.numbers && /^\d+(\.\d+)?$/.test(part) && String(Number(part)) === part) return Number(part)
  return of.content && r.chance(0.6) ? of.content(part) : part
}

/** Splits text between UTF-16 units: a provider may split surrogate pairs too. */
function pieces(r, text) {
  const splitsPairs = r.chance(0.25)
  const units = splitsPairs ? text.split('') : [...text]
  const all = []
  for (let at = 0; at < units.length; ) {
    const length = 1 + r.int(12)
    all.push(units.slice(at, at + length).join(''))
    at += length
  }
  return all
}

function toolDeltas(r, of) {
  const calls = CALLS.slice(0, 1 + r.int(CALLS.length))
  const style = of.tools ?? 'deltas'
  const deltas = []
  for (const [at, [name, input]] of calls.entries()) {
    const json = JSON.stringify(input)
    const head = { ...(style !== 'without index' && { index: at }), id: `call_${at}`, type: 'function' }
    const parts = style === 'deltas' ? pieces(r, json) : []
    deltas.push({ tool_calls: [{ ...head, function: { name, arguments: style === 'deltas' ? '' : json } }] })
    deltas.push(...parts.map((part) => ({ tool_calls: [{ index: at, function: { arguments: part } }] })))
  }
  return deltas
}
