/** The accepted differences from the `openai` package, each with its reason. */
import { hasError, isEmpty, isInterrupted, isJson, PROVIDER } from './reasons.mjs'

export const ACCEPTED = [
  {
    name: 'a finish reason that reports an interruption is an error',
    when: (c, { code }) => code === 'STREAM_TRUNCATED' && isInterrupted(c),
  },
  {
    name: 'an error is one wherever it stands: the package reads only the `error` of an event',
    when: (c, { code }) => PROVIDER.test(code) && hasError(c),
  },
  {
    name: 'an answer without content is an error',
    when: (_, { code, sdk }) => code === 'EMPTY_ANSWER' && isEmpty(sdk.lenient),
  },
  {
    name: 'tool calls whose arguments are not JSON are an error',
    when: (_, { detail = '', sdk }) =>
      /not valid JSON|continued after it was complete/.test(detail) &&
      [sdk.strict, sdk.lenient].some((answer) => hasInvalidCall(answer)),
  },
  {
    name: 'a tool call whose name never comes is an error: no application can run it',
    when: (_, { detail = '', sdk }) =>
      /tool call has no name/.test(detail) && [sdk.strict, sdk.lenient].some((answer) => hasNamelessCall(answer)),
  },
  {
    name: 'a tool call that comes once more as a whole is not doubled',
    when: (c, { field, ours }) =>
      field === 'tools' && [c.intended.strict, c.intended.lenient].some((answer) => doubles(answer, ours.lenient)),
  },
  {
    name: 'a name after complete arguments begins another tool call: the package makes one of both',
    when: (_, { field, sdk, ours }) => field === 'tools' && splits(sdk.strict, ours.strict),
  },
  {
    name: 'of an answer that reached its limit, tool calls that were cut off are dropped',
    when: (c, { field, sdk, ours }) =>
      field === 'tools' &&
      [c.intended.strict, c.intended.lenient, sdk.strict].some((answer) => dropsCutOff(answer, ours.lenient)),
  },
  {
    name: 'an event that is a text or a list is an error: an application that reads its choices fails too',
    when: (c, { code }) => code === 'MALFORMED_RESPONSE' && c.events.some(isGarbage),
  },
  {
    name: 'content and choices that cannot be read are an error: without them a part of the answer is lost',
    when: (_, { code, detail = '' }) =>
      code === 'MALFORMED_RESPONSE' && /`choices\[\d+\](\.(delta|message)\.content)?` is .*, expected/.test(detail),
  },
  {
    name: 'an answer is settled when its usage has come after its finish reason: what follows is not waited for',
    when: (_, { field, sdk, ours }) => /^(text|refusal|finish)$/.test(field) && isCut(sdk.lenient, ours.lenient),
  },
  {
    name: 'an odd number is kept as text as it was sent, where JavaScript has 0 or Infinity, and as an index is none',
    when: (c, { field, sdk, ours }) =>
      field &&
      c.mutations.includes('an odd number') &&
      (withoutNumbers(sdk.strict) === withoutNumbers(ours.strict) || mendsIndex(field, sdk.strict, ours.strict)),
  },
  {
    name: 'a finish reason of 0, null or none is missing, and without one an answer is cut off',
    when: (c, { field, code }) =>
      (field === 'finish' || code === 'STREAM_TRUNCATED') &&
      c.intended.lenient.choices.some(({ finish }) => /^(0|null|none|undefined)$/i.test(finish)),
  },
  {
    name: 'the only finish reason of an answer of several choices stands for all: some gateways keep only one',
    when: (c, { field, ours }) => field === 'finish' && sharesFinish(c.intended.lenient, ours.lenient),
  },
  {
    name: 'a choice that has nothing but fields of unknown names is none where choices are counted from one',
    when: (c, { sdk }) => c.mutations.includes('indexes from one') && isBlank(sdk.lenient.choices[0]),
  },
  {
    name: 'the text beside a delta is read where the delta lost it: Together sends both',
    when: (c, { field, ours }) =>
      field === 'text' && c.events.some(hasTextBeside) && isTextBeside(c.events, ours.strict),
  },
]

const isGarbage = (event) => (Array.isArray(event) && event.length > 0) || (typeof event === 'string' && event !== '')
const dropsCutOff = (sdk, ours) =>
  ours.choices.every(({ tools, finish }, at) => {
    const valid = sdk.choices[at]?.tools.filter(([, name, args]) => name && isJson(args))
    return finish !== 'stop' && JSON.stringify(tools) === JSON.stringify(valid)
  })
const hasNamelessCall = ({ choices }) => choices.some(({ tools }) => tools.some(([, name]) => name === ''))
const once = (args) => {
  const half = args.slice(0, args.length / 2)
  return half + half === args && isJson(half) ? half : args
}
const doubles = (sdk, ours) =>
  ours.choices.every(({ tools }, at) => {
    const single = sdk.choices[at]?.tools.map(([id, name, args]) => [id, name, once(args)])
    return JSON.stringify(tools) === JSON.stringify(single)
  })
const hasInvalidCall = ({ choices }) => choices.some(({ tools }) => tools.some(([, , args]) => !isJson(args)))
const isCut = (sdk, ours) =>
  ours.usage &&
  ours.choices.every(
    ({ text, refusal, finish }, at) =>
      finish && sdk.choices[at]?.text.startsWith(text) && sdk.choices[at].refusal.startsWith(refusal),
  ) &&
  ours.choices.some(({ text, refusal }, at) => text + refusal !== sdk.choices[at].text + sdk.choices[at].refusal)
const splits = (sdk, ours) => {
  const joined = ({ tools }, at) => tools.map((call) => call[at]).join('')
  return ours.choices.every((choice, index) => {
    const other = sdk.choices[index]
    const same = [1, 2].every((at) => other && joined(choice, at) === joined(other, at))
    return same && choice.tools.length > other.tools.length && choice.tools.every(([, , args]) => isJson(args))
  })
}
const withoutNumbers = ({ choices }) => {
  // Without an index, the order of tool calls is that of their arrival.
  const unordered = choices.map((choice) => ({ ...choice, tools: choice.tools.map(String).sort() }))
  return JSON.stringify(unordered).replace(/Infinity|[-+.\deE]+/g, '')
}
const isBlank = ({ text, reasoning, refusal, tools, finish }) =>
  !(text || reasoning || refusal || finish || tools.length)
const choicesOf = (event) => (Array.isArray(event?.choices) ? event.choices.filter(Boolean) : [])
const hasTextBeside = (event) => choicesOf(event).some(({ text, delta }) => text && delta)
const isTextBeside = (events, ours) => {
  const texts = ours.choices.map(() => '')
  for (const event of events) {
    for (const { index, text, delta } of choicesOf(event)) {
      if (typeof text === 'string')
        texts[index ?? 0] += text || (typeof delta?.content === 'string' ? delta.content : '')
    }
  }
  return ours.choices.every(({ text }, at) => text === texts[at])
}
/** A part of a tool call whose index cannot be one belongs to the call before it: then all arguments are JSON. */
const mendsIndex = (field, sdk, ours) =>
  field === 'tools' && hasInvalidCall(sdk) && !hasInvalidCall(ours) && !hasNamelessCall(ours)
const sharesFinish = (intended, ours) => {
  const reasons = intended.choices.map(({ finish }) => finish).filter(Boolean)
  return (
    intended.choices.length > 1 && reasons.length === 1 && ours.choices.every(({ finish }) => finish === reasons[0])
  )
}
