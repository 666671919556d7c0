/** Compares what this package makes of a case with what the `openai` package makes of it. */
import { ACCEPTED } from './accepted.mjs'
import { codeOf, holds, messageOf } from './reasons.mjs'

/** The difference of one mode: `{ kind, detail }`, with `accepted` if it is in the list; undefined if there is none. */
export function difference(c, mode, sdk, ours) {
  const found = find(c, sdk, ours)
  if (!found) return undefined
  const accepted = ACCEPTED.find((row) => row.when(c, { mode, sdk, ours, ...found }))
  return { ...found, kind: `${mode}: ${found.kind}`, accepted: accepted?.name }
}

function find(c, sdk, ours) {
  const sdkSucceeds = !sdk.error && isComplete(sdk.strict)
  if (ours.error) {
    const code = codeOf(ours.error)
    if (sdkSucceeds) return { kind: `only ours fails, ${code}`, code, detail: messageOf(ours.error) }
    return holds(c, sdk, ours.error)
      ? undefined
      : { kind: `both fail, ours for a wrong reason, ${code}`, code, detail: messageOf(ours.error) }
  }
  // Other bytes are another answer.
  if (!sdkSucceeds && (c.framing.invalid || c.framing.replaced)) return undefined
  const expected = sdkSucceeds
    ? [sdk.strict, sdk.lenient]
    : [sdk.strict, sdk.lenient, c.intended.strict, c.intended.lenient]
  // A finish reason in every chunk makes the beginning of an answer a complete one.
  if (!sdkSucceeds && isCut(c) && isBeginning(ours.lenient, c.intended.lenient)) return undefined
  const field = differingField([ours.strict, ours.lenient], expected)
  if (field === undefined) return undefined
  return { kind: `${sdkSucceeds ? '' : 'only ours succeeds, '}another ${field}`, field }
}

const isComplete = ({ choices }) => choices.length > 0 && choices.every((choice) => choice.finish)

const isCut = ({ framing, mutations }) => framing.truncated !== undefined || mutations.includes('[DONE] early')
const isBeginning = (ours, whole) => ours.choices.every(({ text }, at) => whole.choices[at]?.text.startsWith(text))

/** The first field that is different in all of the expected answers. */
function differingField(answers, expected) {
  const count = answers[0].isFirstChoice ? 1 : undefined
  const lengths = expected.map(({ choices }) => choices.slice(0, count).length)
  if (!lengths.includes(answers[0].choices.length)) return 'number of choices'
  const same = (read) => {
    const known = expected.map((answer) => JSON.stringify(read(answer)))
    return answers.some((answer) => known.includes(JSON.stringify(read(answer))))
  }
  for (const index of answers[0].choices.keys()) {
    for (const field of ['text', 'tools', 'finish', 'reasoning', 'refusal']) {
      if (!same(({ choices }) => choices[index]?.[field] ?? null)) return field
    }
  }
  return same(({ usage }) => usage ?? null) ? undefined : 'usage'
}
