// Whether the form of an answer is broken at a seam: JSON, fences, tables, lists.

const FENCE = /^ {0,3}```/gmu

/** Why the form is broken; undefined if it is not, or if that of the uncut answer is too. */
export function brokenStructure(call) {
  return brokenJson(call) ?? brokenFence(call) ?? brokenTable(call) ?? brokenList(call)
}

/** The JSON in a text, from its first bracket to the end of its fence. */
function jsonIn(text) {
  const start = text.search(/[[{]/u)
  if (start < 0) return undefined
  const fence = text.indexOf('\n```', start)
  return { json: text.slice(start, fence < 0 ? undefined : fence), isClosed: fence >= 0 }
}

/** Whether a text is JSON as far as it goes. Text after a complete document does not count. */
export function isJsonPrefix(text) {
  const open = []
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]
    if (inString) {
      if (letter === '\\') at++
      else if (letter === '"') inString = false
    } else if (letter === '"') inString = true
    else if (letter === '{') open.push('}')
    else if (letter === '[') open.push(']')
    else if (letter === '}' || letter === ']') {
      if (open.pop() !== letter) return false
      if (open.length === 0) return parses(text.slice(0, at + 1))
    }
  }
  const closers = open.reverse().join('')
  // A cut number, literal or escape is completed by what could have come.
  if (inString) {
    const cut = text.replace(/\\(?:u[\da-f]{0,3})?$/iu, '')
    return ['"', '":null'].some((ending) => parses(cut + ending + closers))
  }
  const cut = text.replace(/(?:-?\d[\d.eE+-]*|-|t|tr|tru|true|f|fa|fal|fals|false|n|nu|nul|null)$/u, 'null')
  const endings = cut === text ? ['', 'null', ':null', '"k":null'] : ['']
  return endings.some((ending) => parses(cut + ending + closers))
}

function parses(text) {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function brokenJson({ kind, final, uncut, finishReason }) {
  if (kind !== 'json') return undefined
  const expected = jsonIn(uncut)
  if (!expected || !isJsonPrefix(expected.json)) return undefined
  const actual = jsonIn(final)
  if (!actual || !isJsonPrefix(actual.json)) return 'no longer JSON'
  const isWhole = (json) => /[\]}]\s*$/u.test(json) && parses(json)
  if (finishReason !== 'length' && isWhole(expected.json) && !isWhole(actual.json) && !parsesBeginning(actual.json)) {
    return 'the JSON is not complete'
  }
  return undefined
}

/** Whether a text begins with a complete document: a small model writes on after it. */
function parsesBeginning(text) {
  for (let at = text.length; at > 0; at = text.slice(0, at - 1).search(/[\]}][^\]}]*$/u) + 1) {
    if (parses(text.slice(0, at))) return true
    if (at === 1) break
  }
  return false
}

const fences = (text) => text.match(FENCE)?.length ?? 0

function brokenFence({ before, after, rest, final, uncut, finishReason }) {
  const isOpen = fences(before) % 2 === 1
  if (isOpen && /^\s*```\w/u.test(after) && !/^\s*```\w/u.test(rest)) return 'the open fence is opened again'
  if (finishReason === 'length' || fences(uncut) % 2 === 1 || fences(uncut) === 0) return undefined
  return fences(final) % 2 === 1 ? 'a fence is not closed' : undefined
}

const isRow = (line) => /^\s*\|.*\|\s*$/u.test(line)
const cells = (line) => line.split('|').length

function brokenTable({ before, after, uncut, final, finishReason }) {
  const header = before.split('\n').find(isRow)
  if (!header) return undefined
  const lines = after.split('\n')
  const times = (text) => text.split('\n').filter((line) => line.trim() === header.trim()).length
  if (times(final) > Math.max(1, times(uncut))) return 'the header of the table comes again'
  const rules = (text) => text.split('\n').filter((line) => /^\s*\|(?:\s*:?-+:?\s*\|)+\s*$/u.test(line)).length
  if (rules(final) > Math.max(1, rules(uncut))) return 'the rule of the table comes again'
  const seam = (before.split('\n').at(-1) + lines[0]).trimEnd()
  const expected = uncut.split('\n')[before.split('\n').length - 1]
  const isEnded = lines.length > 1 || finishReason !== 'length'
  if (isEnded && isRow(expected) && cells(expected) === cells(header) && cells(seam) !== cells(header)) {
    return `the row at the cut has ${cells(seam) - 1} bars, not ${cells(header) - 1}`
  }
  return undefined
}

const ITEM = /^\s*(\d+)[.)]\s/u
const numbers = (text) =>
  text
    .split('\n')
    .flatMap((line) => ITEM.exec(line)?.[1] ?? [])
    .map(Number)
const isIncreasing = (all) => all.every((number, at) => at === 0 || number > all[at - 1])

function brokenList({ before, after, final, uncut, rest }) {
  const line = before.split('\n').at(-1)
  // An item, a row, a heading or a fence in the middle of a line: its line break is missing.
  const block = /^ ?(?:[-*•] |\d{1,2}[.)] |#{1,6} |```|\|.*\|)/u
  const isBetweenLines = /^\s*\n/u.test(rest) || /\p{L}[.!]?$/u.test(line)
  if (line.trim() !== '' && isBetweenLines && block.test(after) && !block.test(rest))
    return 'a block without its line break'
  if (isIncreasing(numbers(uncut)) && !isIncreasing(numbers(final))) return 'the numbers of the list start again'
  return undefined
}
