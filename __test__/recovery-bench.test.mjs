// The classifier of bench/recovery, by examples with a known class, and the stand with a scripted model.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { locate } from '../bench/recovery/align.mjs'
import { classify } from '../bench/recovery/classify.mjs'
import { upperBound } from '../bench/recovery/statistics.mjs'
import { isJsonPrefix } from '../bench/recovery/structure.mjs'

const STORY =
  'The keeper climbed the stairs every evening. He lit the lamp, wrote the hour into his book and watched the ships. ' +
  'One night a small boat came out of the fog, and a girl asked him for the way to the harbor.'

/** An answer with the place of its cut (`before▮rest`), and the text that arrived in place of `rest`. */
function classOf(uncut, after, { kind = 'en', finishReason = 'stop', ...more } = {}) {
  const [before, rest] = uncut.split('▮')
  assert.notEqual(rest, undefined)
  return classify({ kind, before, uncut: before + rest, final: before + after, finishReason, added: [], ...more }).class
}

const cutAfter = (text, words) => text.replace(words, (found) => `${found}▮`)
const IN_SENTENCE = cutAfter(STORY, 'wrote the hour into')
const IN_WORD = cutAfter(STORY, 'One night a small bo')
const AT_END = cutAfter(STORY, 'watched the ships.')
const restOf = (cut) => cut.split('▮')[1]

/** The name, the answer with the place of its cut, the text that arrived after the cut, the class, and more of the call. */
const EXAMPLES = [
  ['the same text', IN_SENTENCE, restOf(IN_SENTENCE), 'exact'],
  ['the same text with white space at its end', IN_SENTENCE, `${restOf(IN_SENTENCE)}\n`, 'exact'],
  ['another end of the sentence', IN_SENTENCE, ' a thick blue ledger, and then he slept until noon.', 'other'],
  ['another end of the cut word', IN_WORD, 'y called from the rocks below.', 'other', { prompt: 'about a boy' }],
  ['another next sentence', AT_END, ' In winter there were none, and he read by the stove.', 'other'],
  ['nothing', IN_SENTENCE, '', 'ended'],
  ['nothing but a full stop', IN_SENTENCE, '.', 'ended'],
  ['nothing after a sentence', AT_END, '', 'ended'],
  ['nothing because the limit is reached', IN_SENTENCE, '', 'other', { finishReason: 'length' }],
  ['the last sentence again', AT_END, ' He lit the lamp, wrote the hour into his book and watched the ships.', 'twice'],
  [
    'the last sentence again, changed',
    AT_END,
    ' He lit a lamp, wrote the hours into his book and watched ships.',
    'twice',
  ],
  ['the last words again', IN_SENTENCE, ' the hour into his book and watched the ships.', 'twice'],
  ['the last word again', IN_SENTENCE, ' into his book and watched the ships.', 'twice'],
  ['the cut word again', IN_WORD, 'boat came out of the fog, and a girl asked him.', 'twice'],
  [
    'a sentence again, after other words',
    AT_END,
    ` And so it went: he lit the lamp, wrote the hour into his book and so on.`,
    'twice',
  ],
  ['the answer again', AT_END, '\nThe keeper climbed the stairs each evening. He was old.', 'restart'],
  ['the answer again without white space', AT_END, 'The keeper climbed the stairs every evening.', 'restart'],
  ['a sentence left out', AT_END, ', and a girl asked him for the way to the harbor.', 'missing'],
  ['a few words left out', IN_SENTENCE, ' watched the ships. One night a small boat came out of the fog.', 'missing'],
  ['words that were delivered are gone', IN_SENTENCE, '', 'missing', { final: 'The keeper' }],
  ['a preamble', IN_SENTENCE, ' Sure, here is the rest: his book.', 'instruction'],
  ['the closing quote of the instruction', IN_SENTENCE, '” his book and watched the ships.', 'instruction'],
  [
    'the instruction',
    IN_SENTENCE,
    ' Please go on exactly where it stops, thank you.',
    'instruction',
    { added: ['Your answer was cut. Go on exactly where it stops, as if there had been no break.'] },
  ],
  [
    'the quote of the instruction is text twice',
    AT_END,
    ' wrote the hour into his book and watched the ships.',
    'twice',
    { added: ['It ends with: “wrote the hour into his book and watched the ships.”'] },
  ],
  ['two words without a space', cutAfter(STORY, 'and watched'), 'Captain Ahab sail by.', 'broken'],
  ['a space left out after a full stop', AT_END, 'In winter there were none.', 'broken'],
  ['a sentence inside a sentence', IN_SENTENCE, ' The weather was fine.', 'broken'],
  [
    'a sentence inside a line of code',
    'def f(a):\n    return ▮a',
    'This function returns a.',
    'broken',
    { kind: 'code' },
  ],
  ['a name inside a sentence', IN_SENTENCE, ' Ahab’s ledger and smiled.', 'other'],
  ['talk about the cut', IN_SENTENCE, ', and here the response is cut off without a reason.', 'instruction'],
  ['a space left out', cutAfter(STORY, 'and watched'), 'the ships.', 'broken'],
  ['a cut word that is not completed', cutAfter(STORY, 'out of the f'), ', and he saw nothing any more.', 'broken'],
  ['an error', IN_SENTENCE, '', 'error', { error: { typed: true, code: 'STREAM_INTERRUPTED' } }],
  ['a failure without a typed error', IN_SENTENCE, '', 'untyped', { error: { typed: false, message: 'x' } }],
  [
    'an error with another text',
    IN_SENTENCE,
    '',
    'missing',
    { final: 'Another text', error: { typed: true, code: 'STREAM_INTERRUPTED' } },
  ],
  [
    'a Vietnamese sentence again',
    'Mùa mưa đến rất sớm. Nước ngập các con đường.▮ Trẻ em vui đùa.',
    ' Nước ngập các con đường.',
    'twice',
    { kind: 'vi' },
  ],
  [
    'another Vietnamese sentence',
    'Mùa mưa đến rất sớm. Nước ngập các▮ con đường.',
    ' ngõ nhỏ quanh chợ.',
    'other',
    { kind: 'vi' },
  ],
  [
    'a Chinese clause again',
    '这座桥很老，石头上长满了青苔，▮河水从下面流过。',
    '石头上长满了青苔，',
    'twice',
    { kind: 'zh' },
  ],
  [
    'another Chinese clause',
    '这座桥很老，石头上长满了▮青苔，河水从下面流过。',
    '野草，没有人走过。',
    'other',
    { kind: 'zh' },
  ],
  [
    'a Chinese restart',
    '这座桥很老，石头上长满了青苔，▮河水从下面流过。',
    '这座桥很老，石头上长着青苔，',
    'restart',
    { kind: 'zh' },
  ],
  ['a Thai clause again', 'ตลาดน้ำอยู่ริมคลอง มีเรือขายผลไม้▮ และดอกไม้', ' มีเรือขายผลไม้', 'twice', { kind: 'th' }],
  [
    'Chinese clauses again in another order',
    '河水很清，人很少，这座桥很老，石头上长满了青苔，▮鱼在水里游。',
    '石头上长满了青苔，这座桥很老，人很少。',
    'twice',
    { kind: 'zh' },
  ],
  [
    'English inside a Japanese sentence',
    '静かな村に雪が降って▮、人々は家にいた。',
    ' This is a phrase that means snow.',
    'broken',
    { kind: 'ja' },
  ],
  [
    'an item without a line break after emphasis',
    '1. **Dig**▮\n2. **Water**',
    '2. **Set** the tree',
    'broken',
    { kind: 'list' },
  ],
  ['JSON that goes on', '{"a": [1, 2▮, 3], "b": "x"}', '0], "b": "y"}', 'other', { kind: 'json' }],
  ['JSON that begins again', '{"name": "Roma",▮ "size": 3}', '{"name": 4, "size": 3}', 'broken', { kind: 'json' }],
  ['JSON that is not complete', '{"name": "Roma",▮ "size": 3}', ' "country": "Italia"', 'broken', { kind: 'json' }],
  [
    'a fence again',
    'Code:\n```python\ndef f(a):\n▮    return a\n```',
    '```python\n    pass\n```',
    'broken',
    { kind: 'code' },
  ],
  [
    'a fence that is not closed',
    'Code:\n```python\ndef f(a):\n▮    return a\n```',
    '    pass',
    'broken',
    { kind: 'code' },
  ],
  [
    'a header again',
    '| A | B |\n|---|---|\n| 1 | 2 |\n▮| 3 | 4 |',
    '| A | B |\n|---|---|\n| 5 | 6 |',
    'broken|restart',
    { kind: 'table' },
  ],
  [
    'a row with a cell too many',
    '| A | B |\n|---|---|\n| 1 | 2▮ |\n| 3 | 4 |',
    ' | 7 | 8 |\n| 5 | 6 |',
    'broken',
    { kind: 'table' },
  ],
  ['an item without a line break', '1. Dig a hole▮\n2. Water it', '2. Set the tree', 'broken', { kind: 'list' }],
  [
    'numbers that begin again',
    '1. Dig a hole\n2. Wa▮ter it\n3. Wait',
    'sh hands\n1. Go',
    'broken',
    { kind: 'list', prompt: 'wash' },
  ],
  ['arguments requested again', '{"city": "Hu▮ế"}', 'ế"}', 'exact', { kind: 'tool' }],
  ['arguments that are not JSON', '{"city": "Hu▮ế"}', '{"city"', 'broken', { kind: 'tool' }],
  ['no tool call', '{"city": "Hu▮ế"}', '', 'ended', { kind: 'tool', final: '' }],
]

describe('the classifier', () => {
  for (const [name, uncut, after, expected, more] of EXAMPLES) {
    test(`${name}: ${expected}`, () => {
      const actual = classOf(uncut, after, more)
      assert.ok(expected.split('|').includes(actual), actual)
    })
  }

  test('does not blame a client for a loop that goes on', () => {
    assert.equal(classOf(`${'tra la '.repeat(8)}▮${'tra la '.repeat(3)}`, 'tra la '.repeat(6)), 'other')
  })

  test('does not blame a client for a loop of the model', () => {
    const line = 'And the sea sang its song to me. '
    assert.equal(
      classOf(`${line.repeat(3)}▮${line.repeat(3)}End.`, line.repeat(2), { finishReason: 'length' }),
      'other',
    )
  })
})

test('a place is found in spite of errors', () => {
  const place = locate([...'green umbrela'], [...'a man with a green umbrella in the rain'])
  assert.deepEqual([place.errors, place.start], [1, 13])
  assert.equal(locate([...'xyz'], []).errors, 3)
})

test('JSON is recognized as far as it goes', () => {
  const whole = '{"a": [1.5e3, true, null, "x\\u00e9\\n"], "b": {"c": "}"}}'
  for (let at = 1; at <= whole.length; at++) assert.ok(isJsonPrefix(whole.slice(0, at)), whole.slice(0, at))
  for (const text of ['{a', '{"a" "b', '[1 2', '{"a": 1]', '{"a": tru1']) assert.ok(!isJsonPrefix(text), text)
})

test('the upper bound is that of Clopper and Pearson', () => {
  // Without a hit it has a closed form.
  assert.ok(Math.abs(upperBound(0, 400) - (1 - 0.05 ** (1 / 400))) < 1e-9)
  assert.ok(Math.abs(upperBound(5, 100) - 0.10225) < 1e-4)
  assert.deepEqual([upperBound(0, 0), upperBound(4, 4)], [1, 1])
})

test('the stand gives every behavior of a scripted model a class that it may have', async () => {
  const path = fileURLToPath(new URL('../bench/recovery/run.mjs', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [path, '--smoke'])
  const [, right, all] = /(\d+) of (\d+) calls have a class/.exec(stdout)
  assert.ok(Number(all) > 0)
  assert.equal(right, all, stdout)
})
