// What became of a cut answer. Every rule compares with the uncut answer, so that what a model would have written anyway
// is not held against the client. A rule that fires gives its reason, which `--show` prints for a person to judge.
import { comparable, occurrence } from './align.mjs'
import { brokenStructure } from './structure.mjs'

/** The classes in the order of the table. `silent`: the caller cannot notice that the answer is wrong. */
export const CLASSES = {
  exact: { title: 'right: exact' },
  other: { title: 'right: another proper text' },
  twice: { title: 'text twice', silent: true },
  missing: { title: 'text missing', silent: true },
  restart: { title: 'restart', silent: true },
  instruction: { title: 'instruction or preamble', silent: true },
  broken: { title: 'glued or broken', silent: true },
  ended: { title: 'ended at the cut', silent: true },
  error: { title: 'typed error' },
  untyped: { title: 'other failure', silent: true },
}

/** How much of the beginning of a continuation is looked for elsewhere, in code points. */
const HEAD = { spaced: 36, unspaced: 14 }
/** The same after a few other words, where repetition is more often the model's own. */
const LATER = { spaced: 44, unspaced: 22 }
/** The shortest piece that is looked for with errors. Ideographs carry more than letters. */
const SHORTEST = { spaced: 14, unspaced: 7 }
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u
const LETTER_OR_DIGIT = /[\p{L}\p{N}]/u
/** Kinds of prompts that are answered in sentences. */
const PROSE = ['en', 'vi', 'zh', 'ja', 'th']
const COMMON =
  'a an and are as at be but by can for from had has have he her his i if in into is it its not of on one or our out she so that the their them then there they this to up was we were which who will with would you your'
const PREAMBLE =
  /^["“”'*\s]*(?:sure\b|certainly\b|of course\b|i apologi[sz]e|i'm sorry|sorry\b|here(?:'s| is| are) (?:the|your|my) (?:rest|continu|answer|previous|completed)|continuing (?:from|the|where)|let me (?:continue|finish)|the answer (?:is|begins|ends|to)\b|as an ai\b|i(?:'m| am) (?:ready|here) to)/iu

/**
 * The class of a cut call and the reason. `call` has `before` (delivered at the cut), `final` (the whole answer that the
 * client delivered), `uncut`, `kind` (of the prompt), `finishReason`, `added` (what the client added to the messages) and
 * `error` ({ code, typed }) if the call failed.
 */
export function classify(call) {
  const { before, final = '', uncut, error } = call
  if (error) {
    if (!error.typed) return { class: 'untyped', reason: error.message }
    if (!before.startsWith(final) && !final.startsWith(before)) {
      return { class: 'missing', reason: 'the partial answer of the error differs from what was delivered' }
    }
    return { class: 'error', reason: `${error.code}: ${error.message}` }
  }
  if (call.kind === 'tool') return classifyToolCall(call)
  if (!final.startsWith(before)) return { class: 'missing', reason: 'what was delivered before the cut is not there' }
  const after = final.slice(before.length)
  const rest = uncut.slice(before.length)
  if (after.trimEnd() === rest.trimEnd()) return { class: 'exact', reason: 'equal to the uncut answer' }
  for (const [name, rule] of RULES) {
    const reason = rule({ ...call, after, rest })
    if (reason) return { class: name, reason }
  }
  return { class: 'other', reason: 'no rule found a fault' }
}

/** Arguments are requested anew, so only their form can be compared. */
function classifyToolCall({ final, uncut, uncutReason }) {
  if (final === uncut) return { class: 'exact', reason: 'equal to the uncut call' }
  const keys = (text) => {
    try {
      return Object.keys(JSON.parse(text)).sort().join()
    } catch {
      return undefined
    }
  }
  // The call had not ended at the limit of tokens before it was cut either.
  if (final === '' && uncutReason === 'length') return { class: 'other', reason: 'the uncut call has no end either' }
  if (final === '') return { class: 'ended', reason: 'no tool call' }
  if (keys(final) === undefined && keys(uncut) !== undefined) {
    return { class: 'broken', reason: 'the arguments are not JSON' }
  }
  return { class: 'other', reason: keys(final) === keys(uncut) ? 'the same arguments by name' : 'other arguments' }
}

const RULES = [
  ['ended', endsAtCut],
  ['instruction', hasInstruction],
  ['restart', restarts],
  ['twice', repeats],
  ['missing', skips],
  ['broken', isGlued],
  ['broken', changesScript],
  ['broken', startsSentence],
  ['broken', brokenStructure],
]

function endsAtCut({ after, rest, before, finishReason }) {
  if (finishReason === 'length' || LETTER_OR_DIGIT.test(after) || !LETTER_OR_DIGIT.test(rest)) return undefined
  if (isJson(before + after)) return undefined
  const isSentence = /[.!?。！？…:;)\]}"”]\s*$/u.test(before + after)
  return isSentence ? 'nothing was added, after a complete sentence' : 'nothing was added'
}

/** Brackets alone complete a document. */
function isJson(text) {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

/** Talk about the cut, in the model's own words. */
const ABOUT_THE_CUT =
  /(?:answer|response|message|text)(?: \w+){0,2} (?:is|was|were|has been) (?:cut|interrupted)|(?:answer|response|text) (?:\w+ ){0,2}ends with|(?:your|the|my) previous (?:answer|response|message)|where (?:it|you|i) (?:stops?|stopped|left off)|as if there had been no break/iu

function hasInstruction({ after, rest, before, added = [] }) {
  if (/^\s*[”»]/u.test(after) && !/^\s*[”»]/u.test(rest) && !/“[^”]*$/u.test(before))
    return 'begins with a closing quote'
  const preamble = PREAMBLE.exec(after)
  if (preamble && !PREAMBLE.test(rest)) return `begins with “${preamble[0].trim()}”`
  const about = ABOUT_THE_CUT.exec(after)
  if (about && !ABOUT_THE_CUT.test(before + rest)) return `talks about the cut: “${about[0]}”`
  const text = comparable(after).join('')
  const own = comparable(before + rest).join('')
  for (const message of added) {
    // The end of the answer is quoted in the instruction; a repetition of that is another class.
    const words = comparable(message).join('').split(' ')
    for (let at = 0; at + 5 <= words.length; at++) {
      const phrase = words.slice(at, at + 5).join(' ')
      if (phrase.length >= 20 && text.includes(phrase) && !own.includes(phrase))
        return `has “${phrase}” of the instruction`
    }
  }
  return undefined
}

const shortest = (text) => (UNSPACED.test(text) ? SHORTEST.unspaced : SHORTEST.spaced)
const windowOf = (text) => (UNSPACED.test(text.slice(0, HEAD.spaced)) ? HEAD.unspaced : HEAD.spaced)
const headOf = (text, length = windowOf(text)) => comparable(text).slice(0, length)

/** The answer is begun again. */
function restarts({ after, rest, before }) {
  const start = comparable(before)
  // A cut within the first sentence leaves less than a head to compare.
  const head = headOf(after, Math.min(windowOf(after), start.length))
  if (head.length < shortest(after) && head.length < start.length) return undefined
  if (head.length < 3) return undefined
  const isStart = (text) => occurrence(text, start.slice(0, text.length + 8), 0.2)?.start <= 2
  if (!isStart(head) || isStart(headOf(rest, head.length))) return undefined
  return `begins like the answer: “${head.join('')}”`
}

/** Whether a text begins like the uncut answer: a model in a loop would have repeated itself too. */
function goesOnLike(text, expected, enough) {
  const length = Math.min(expected.length, enough)
  return length > 0 && text.slice(0, length).join('') === expected.slice(0, length).join('')
}

/** Something that was delivered comes again, where the uncut answer has something new. */
function repeats({ after, rest, before, kind }) {
  if (goesOnLike(comparable(after), comparable(rest), shortest(rest))) return undefined
  const delivered = comparable(before)
  const head = headOf(after)
  const again = (text, errors) => text.length >= shortest(text.join('')) && occurrence(text, delivered, errors)
  // Rows, items and lines of code resemble one another; sentences do not.
  const isProse = PROSE.includes(kind)
  const errors = isProse ? 0.2 : 0.05
  if (again(head, errors) && !again(headOf(rest), errors)) return `“${head.join('')}” was delivered before`
  const overlap = repeatedWords(before, after, rest)
  if (overlap) return `“${overlap}” at the cut comes again`
  if (!isProse) return undefined
  // What comes after a few other words counts too.
  const size = LATER[HEAD.unspaced === windowOf(after) ? 'unspaced' : 'spaced']
  const text = comparable(after)
  const expected = comparable(rest)
  for (let at = 6; at <= 2 * size && at + size <= text.length; at += 6) {
    const piece = text.slice(at, at + size)
    if (
      occurrence(piece, delivered, 0.1) &&
      !occurrence(piece, expected, 0.2) &&
      !expectedRepeats(expected, delivered, size)
    ) {
      return `“${piece.join('')}” was delivered before`
    }
  }
  return undefined
}

/** Whether the uncut answer repeats what was delivered, as small models do that are caught in a loop. */
function expectedRepeats(expected, delivered, size) {
  for (let at = 0; at <= 120 && at + size <= expected.length; at += 12) {
    if (occurrence(expected.slice(at, at + size), delivered, 0.1)) return true
  }
  return false
}

/** The last words of what was delivered, if the continuation begins with them and the uncut answer does not go on so. */
function repeatedWords(before, after, rest) {
  const [old, next, expected] = [before, after, rest].map((text) => comparable(text).join(''))
  const longest = Math.min(old.length, next.length, 60)
  for (let length = longest; length >= 2; length--) {
    const words = next.slice(0, length)
    if (!old.endsWith(words) || expected.startsWith(words)) continue
    if (UNSPACED.test(words)) {
      if (length >= 3) return words
      continue
    }
    const isWhole = !/\p{L}/u.test(old.at(-length - 1) ?? ' ') && /\p{L}{2}/u.test(words)
    // `ha` and `happy`: the cut word comes again. `an` and `answer` after a space is the next word.
    const isNextWord = /\s$/u.test(before) || /^\s/u.test(after)
    const endsWord = !/\p{L}/u.test(next[length] ?? ' ')
    if (isWhole && (endsWord || !isNextWord)) return words
  }
  return undefined
}

/** The continuation is the uncut answer, but for its beginning. */
function skips({ after, rest }) {
  const head = headOf(after, 28)
  // Bars and rules of tables say nothing.
  if (head.filter((letter) => LETTER_OR_DIGIT.test(letter)).length < shortest(after)) return undefined
  const expected = comparable(rest)
  const found = occurrence(head, expected, 0.1)
  if (!found || found.start < 8) return undefined
  return `“${expected.slice(0, found.start).join('').slice(0, 60)}” is left out`
}

const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{M}'’]+/gu) ?? []

/** Two words have become one, or the rest of a cut word is missing. */
function isGlued({ after, rest, before, uncut, prompt = '' }) {
  if (UNSPACED.test(before.slice(-1)) || UNSPACED.test(after.slice(0, 1))) return undefined
  if (/[,;:.!?)]$/u.test(before) && /^\s/u.test(rest) && /^[\p{L}\p{N}]/u.test(after)) {
    return `no space between “${before.slice(-1)}” and “${after.slice(0, 12)}”`
  }
  const [fragment] = /[\p{L}\p{M}]*$/u.exec(before)
  if (fragment === '') return undefined
  const [beginning] = /^[\p{L}\p{M}]*/u.exec(after)
  const [expected] = /^[\p{L}\p{M}]*/u.exec(rest)
  if (beginning === expected) return undefined
  const known = new Set([...wordsOf(uncut), ...wordsOf(prompt), ...wordsOf(after).slice(1), ...COMMON.split(' ')])
  const joined = (fragment + beginning).toLowerCase()
  if (known.has(joined)) return undefined
  if (beginning === '') return expected === '' ? undefined : `“${fragment}” is not completed`
  if (/\p{Ll}$/u.test(fragment) && /^\p{Lu}/u.test(beginning)) return `“${fragment}${beginning}”`
  const isWord = beginning.length >= 2 && known.has(beginning.toLowerCase())
  return isWord || expected === '' ? `“${fragment}${beginning}” is no word of the uncut answer` : undefined
}

/** In the middle of a Chinese, Japanese or Thai sentence another language begins. */
function changesScript({ after, rest, before }) {
  const [letter] = /\p{L}/u.exec(rest) ?? ['']
  if (!UNSPACED.test(before.slice(-1)) || !UNSPACED.test(letter)) return undefined
  const [latin] = /^[^\p{L}]{0,3}\p{Script=Latin}{3,}/u.exec(after) ?? []
  return latin && !/\p{Script=Latin}{3,}/u.test(rest.slice(0, 12)) ? `goes on with “${latin}”` : undefined
}

/** A new sentence inside one, or inside a line of code. Only words count that are written small there: others may be names. */
function startsSentence({ after, rest, before, kind }) {
  const isInside = PROSE.includes(kind)
    ? /[\p{Ll},;]\s*$/u.test(before) && /^\s*\p{Ll}/u.test(rest)
    : !/[.!?:\n]\s*$/u.test(before) && !/^\s*(?:\n|\p{Lu})/u.test(rest)
  const [, word] = /^\s*(\p{Lu}\p{L}*)\b/u.exec(after) ?? []
  const isCommon = word && word !== 'I' && COMMON.split(' ').includes(word.toLowerCase())
  return isInside && isCommon ? `“${word}” begins another sentence` : undefined
}
