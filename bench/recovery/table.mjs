// What a run prints: the table, and the seams for a person to check.
import { CLASSES } from './classify.mjs'
import { upperBound } from './statistics.mjs'

const percent = (share) => `${(100 * share).toFixed(1)} %`

/** The counts of a group of classified calls. */
export function summary(calls) {
  const counts = Object.fromEntries(Object.keys(CLASSES).map((name) => [name, 0]))
  for (const call of calls) counts[call.class]++
  const silent = Object.keys(CLASSES).reduce((sum, name) => sum + (CLASSES[name].silent ? counts[name] : 0), 0)
  const requests = calls.reduce((sum, call) => sum + call.requests, 0)
  return {
    calls: calls.length,
    ...counts,
    silent,
    silentShare: silent / calls.length,
    silentUpper95: upperBound(silent, calls.length),
    errorShare: counts.error / calls.length,
    addedRequests: requests / calls.length - 1,
  }
}

/** Groups of calls by a function that names the group, in order of appearance. */
export function grouped(calls, nameOf) {
  const groups = new Map()
  for (const call of calls) {
    const name = nameOf(call)
    groups.set(name, [...(groups.get(name) ?? []), call])
  }
  return [...groups].map(([name, group]) => ({ name, ...summary(group) }))
}

/** A Markdown table of groups. */
export function table(rows, title) {
  const heads = [title, 'calls', ...Object.values(CLASSES).map((entry) => entry.title)]
  heads.push('silently wrong', 'upper 95 % bound', 'typed errors', 'added requests')
  const lines = rows.map((row) => [
    row.name,
    row.calls,
    ...Object.keys(CLASSES).map((name) => row[name]),
    `${row.silent} (${percent(row.silentShare)})`,
    percent(row.silentUpper95),
    percent(row.errorShare),
    row.addedRequests.toFixed(2),
  ])
  const rule = heads.map((_, at) => (at === 0 ? '---' : '--:'))
  return [heads, rule, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const visible = (text) => text.replaceAll('\n', '⏎').replaceAll('\t', '⇥')
const last = (text, length) => [...text].slice(-length).join('')
const first = (text, length) => [...text].slice(0, length).join('')

/** One seam: before | joined | expected, with the class and its reason. */
export function seam(call) {
  const { before, final = '', uncut } = call
  const after = final.startsWith(before) ? final.slice(before.length) : `(another text) ${final}`
  const shown = call.error ? `(${call.error.code}) ${after}` : after
  return [
    `── ${call.id} · ${call.cut} · ${CLASSES[call.class].title}: ${visible(call.reason)}`,
    `   before   ${visible(last(before, 100))}▮`,
    `   joined   ▮${visible(first(shown, 160))}${final.length === before.length ? ' (nothing)' : ''}`,
    `   expected ▮${visible(first(uncut.slice(before.length), 160))}`,
  ].join('\n')
}
