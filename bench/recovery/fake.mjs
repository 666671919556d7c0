// A scripted model for `--smoke`: it knows its answers and behaves, when it is asked for the rest, as small models were seen
// to do. Where the answer was cut it learns from the proxy, so it does not depend on the wording of an instruction.
import { chatServer } from './openai-server.mjs'

const ANSWERS = {
  en: 'The old station stood at the end of the valley. Rain ran down its tall windows, and the platform was empty but for a man with a green umbrella. He waited for the last train, which was late again. When it came at last, nobody got off, and he walked home through the silent streets.',
  list: '1. Dig a wide hole in the ground.\n2. Loosen the roots of the young tree.\n3. Set it upright into the hole.\n4. Fill the hole with good soil.\n5. Water it slowly, until the ground is wet.\n6. Put straw around the trunk.',
}

/** What comes after the cut, by the name of the model. `at`: the number of code points delivered. */
const BEHAVIORS = {
  obedient: (answer, at) => answer.slice(at),
  repeats: (answer, at) => answer.slice(Math.max(0, at - 60)),
  restarts: (answer, at) =>
    `${answer.slice(0, at).replace(/^The/u, 'An').replace(/wide/u, 'large')}${answer.slice(at)}`,
  stops: () => '',
  skips: (answer, at) => answer.slice(at + 60),
  leaks: (answer, at, instruction) => `${instruction.slice(0, 80)} ${answer.slice(at)}`,
  preamble: (answer, at) => `Sure, here is the rest of the answer: ${answer.slice(at)}`,
  glues: (answer, at) => `Captain${answer.slice(at)}`,
}

/** The classes that a behavior may have: the fault itself if the client does not notice it, or else an error or a repair. */
const EXPECTED = {
  obedient: ['exact'],
  repeats: ['exact', 'twice', 'error'],
  restarts: ['restart', 'error', 'exact'],
  stops: ['ended', 'error'],
  skips: ['missing', 'broken', 'other', 'error'],
  leaks: ['instruction', 'error', 'exact'],
  preamble: ['instruction', 'error', 'exact'],
  glues: ['broken', 'error', 'other'],
}

/** What a call with this form may have. A server that was said to continue the answer is believed, even if it begins anew. */
export function expected(model, form) {
  if (form.startsWith('assurance-native')) return [...EXPECTED[model], 'error']
  return form === 'native' && model === 'leaks' ? [...EXPECTED[model], 'restart'] : EXPECTED[model]
}

async function* generate({ body, headers }) {
  const [first] = body.messages
  const answer = ANSWERS[first.content]
  const at = Number(headers['x-bench-at'] ?? 0)
  const last = body.messages.at(-1)
  const text = at === 0 ? answer : BEHAVIORS[body.model](answer, at, String(last.content))
  for (let from = 0; from < text.length; from += 5) yield { content: text.slice(from, from + 5) }
  return 'stop'
}

export const fakeServer = () => chatServer(generate)

/** The cases of the smoke run: every behavior at two cuts, one of them inside a word. */
export function fakeCases() {
  return Object.keys(BEHAVIORS).flatMap((model) =>
    ['en', 'list'].map((kind, at) => ({
      name: `${model}-${kind}`,
      model,
      kind,
      cut: ['rst', 'fin'][at],
      share: 0.6,
      isInDelta: at === 0,
      seed: 1,
      request: { messages: [{ role: 'user', content: kind }] },
    })),
  )
}
