/**
 * Puts an answer together from chunks, as an application does with those of the `openai` package. `strict` reads what
 * OpenAI documents. `lenient` also reads what a careful application finds elsewhere in the chunks of other providers.
 */
export function answerOf(chunks, n) {
  return { strict: assemble(chunks, n, STRICT), lenient: assemble(chunks, n, LENIENT) }
}

const STRICT = {
  choices: (chunk) => (Array.isArray(chunk.choices) ? chunk.choices : []),
  delta: (choice) => choice.delta,
  text: (value) => (value === null || value === undefined ? '' : String(value)),
  optional: (value) => (typeof value === 'string' ? value : ''),
  finish: (value) => (value ? String(value) : undefined),
  usage: (chunk) => usable(chunk.usage),
  call: (calls, part) => calls.findIndex((call) => call.index === part.index),
  name: (known, name) => known + name,
}

const LENIENT = {
  choices: (chunk) => (Array.isArray(chunk.choices) ? chunk.choices : [chunk.choices]).filter(isObject),
  delta(choice, known) {
    if (isObject(choice.delta) && Object.values(choice.delta).some((value) => value !== null && value !== ''))
      return choice.delta
    if (isObject(choice.message)) {
      const text = LENIENT.text(choice.message.content)
      // A message may be all of the answer so far.
      return { ...choice.message, content: text.startsWith(known.text) ? text.slice(known.text.length) : text }
    }
    return choice.text !== undefined ? { content: choice.text } : choice.delta
  },
  text(value) {
    if (Array.isArray(value)) return value.map(LENIENT.text).join('')
    if (!isObject(value)) return STRICT.text(value)
    if (typeof value.type === 'string' && value.type && !value.type.endsWith('text')) return ''
    return LENIENT.text(value.text ?? value.content ?? value.value)
  },
  optional: (value) => (typeof value === 'boolean' ? '' : LENIENT.text(value)),
  finish: (value) =>
    Array.isArray(value)
      ? value[0]
      : value === true
        ? 'stop'
        : isObject(value)
          ? (value.type ?? value.reason ?? value.name)
          : STRICT.finish(value),
  usage: (chunk) =>
    usable(chunk.usage) ??
    LENIENT.choices(chunk)
      .map((choice) => usable(choice.usage))
      .find(Boolean) ??
    usable(chunk.x_groq?.usage),
  call(calls, part) {
    if (isIndex(part.index)) {
      const same = calls.findLastIndex((call) => String(call.index) === String(part.index))
      const isOther = same >= 0 && part.id && calls[same].id && calls[same].id !== part.id && part.function?.name
      return isOther ? calls.findIndex((call) => call.id === part.id) : same
    }
    if (part.id) return calls.findIndex((call) => call.id === part.id)
    return calls.length - 1
  },
  name: (known, name) => (name.startsWith(known) ? name : known + name),
}

function assemble(chunks, n, how) {
  const choices = new Map()
  let usage = null
  for (const chunk of chunks) {
    if (!isObject(chunk)) continue
    usage = how.usage(chunk) ?? usage
    for (const choice of how.choices(chunk)) {
      if (!isObject(choice)) continue
      const index = n === 1 ? 0 : Number(choice.index ?? 0)
      if (!choices.has(index)) choices.set(index, { text: '', reasoning: '', refusal: '', calls: [], finish: null })
      add(choices.get(index), choice, how)
      // An application that requested one choice reads the first one.
      if (n === 1) break
    }
  }
  // Choices that were not requested are nobody's.
  const place = (index) => (index >= 0 ? index : Number.POSITIVE_INFINITY)
  const sorted = [...choices].sort(([a], [b]) => place(a) - place(b)).map(([, choice]) => choice)
  return { choices: sorted.slice(0, n).map(shape), usage }
}

function add(known, choice, how) {
  known.finish = how.finish(choice.finish_reason) ?? known.finish
  const delta = how.delta(choice, known)
  if (!isObject(delta)) return
  known.text += how.text(delta.content)
  known.reasoning += how.optional(delta.reasoning_content) || how.optional(delta.reasoning)
  known.refusal += how.optional(delta.refusal)
  for (const part of Array.isArray(delta.tool_calls) ? delta.tool_calls : []) {
    if (!isObject(part)) continue
    const at = how.call(known.calls, part)
    const call = known.calls[at] ?? { index: part.index, id: '', name: '', args: '' }
    if (at < 0) known.calls.push(call)
    if (part.id || part.id === 0) call.id ||= String(part.id)
    const name = part.function?.name
    if (name && ['string', 'number'].includes(typeof name)) call.name = how.name(call.name, String(name))
    const args = part.function?.arguments
    if (args !== null && args !== undefined) call.args += typeof args === 'object' ? JSON.stringify(args) : String(args)
  }
}

/** A choice in the shape in which choices are compared. */
export const shape = ({ text, reasoning, refusal, calls, finish }) => ({
  // Half of a surrogate pair does not survive in UTF-8.
  text: text.toWellFormed(),
  reasoning: reasoning.toWellFormed(),
  refusal: refusal.toWellFormed(),
  tools: inOrder(calls).map(({ id, name, args }) => [id, name, canonical(args)]),
  finish,
})

/** Applications put calls in an array at their index. */
const inOrder = (calls) =>
  calls.every(({ index }) => isIndex(index)) ? calls.toSorted((a, b) => a.index - b.index) : calls
const isIndex = (index) =>
  (typeof index === 'number' && index >= 0) || (typeof index === 'string' && /^\d+$/.test(index))

/** Arguments are compared as JSON. Ours are `{}` where a provider sends none. */
export function canonical(args) {
  try {
    return JSON.stringify(JSON.parse(args.toWellFormed() || '{}'))
  } catch {
    return args
  }
}

export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const usable = (usage) => (isObject(usage) && Object.keys(usage).length > 0 ? usage : undefined)
