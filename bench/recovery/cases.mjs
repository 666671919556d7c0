// The prompts of the stand, and where and how their answers are cut.

const parameters = (properties) => ({ type: 'object', properties, required: Object.keys(properties) })
const tool = (name, properties) => ({
  tools: [
    {
      type: 'function',
      function: { name, description: name.replaceAll('_', ' '), parameters: parameters(properties) },
    },
  ],
  tool_choice: { type: 'function', function: { name } },
})
const string = { type: 'string' }
const JSON_ONLY = { response_format: { type: 'json_object' } }

/** Prompts by kind: a text, or a text and more fields of the request. */
const PROMPTS = {
  en: [
    'Describe an old railway station on a rainy evening, in one paragraph.',
    'Explain to a child why the sea is salty.',
    'Tell a short story about a baker who loses a ring in the dough.',
    'Write a letter to a neighbor about a noisy dog.',
  ],
  vi: [
    'Hãy viết một đoạn văn ngắn về mùa mưa ở thành phố.',
    'Giải thích vì sao lá cây có màu xanh.',
    'Kể lại một buổi sáng ở chợ quê bằng tiếng Việt.',
  ],
  zh: ['请用中文写一段话，介绍一座古老的桥。', '请解释为什么天空是蓝色的。', '写一个关于渔夫和月亮的小故事。'],
  ja: ['静かな冬の村について、短い文章を書いてください。', '電車の中で本を読む人の話を書いてください。'],
  th: ['เขียนย่อหน้าสั้น ๆ เกี่ยวกับตลาดน้ำ', 'อธิบายว่าทำไมฝนจึงตก'],
  code: [
    'Write a Python function that merges two sorted lists. Answer with code only, in a code block.',
    'Write a JavaScript class `Counter` with the methods `add`, `reset` and `value`, in a code block.',
    'Write a C function that reverses a string in place, in a code block.',
  ],
  json: [
    ['Describe a bicycle as a JSON object with the keys "brand", "color", "gears", "wheels".', JSON_ONLY],
    'Give three cities as a JSON array of objects with "name", "country" and "population". Only JSON.',
    'Show an example of a package.json file with five dependencies.',
  ],
  table: [
    'Make a Markdown table of five planets with the columns Name, Diameter and Moons.',
    'Compare tea, coffee and cocoa in a Markdown table with the columns Drink, Caffeine, Taste, Origin.',
    'Make a Markdown table of a train timetable with the columns Station, Arrival and Departure, with six rows.',
  ],
  list: [
    'List eight steps to plant a tree, as a numbered list.',
    'Give a shopping list for a picnic with ten items, as bullet points.',
    'Write a poem of four stanzas, each of which ends with the same line.',
  ],
  tool: [
    [
      'What will the weather be in Hà Nội for three days?',
      tool('get_weather', { city: string, days: { type: 'integer' } }),
    ],
    [
      'Book a table for four people at the harbor restaurant on Friday, by the window.',
      tool('book_table', { restaurant: string, day: string, people: { type: 'integer' }, wishes: string }),
    ],
    ['Remind me to call my sister about the birthday cake.', tool('add_reminder', { title: string, details: string })],
  ],
}

export const KINDS = Object.keys(PROMPTS)
export const CUTS = ['rst', 'fin', 'stall']

/** Where an answer is cut, as shares of it. Odd ones inside a delta, even ones after it, as a connection mostly breaks. */
const SHARES = [0.45, 0.2, 0.7, 0.08, 0.55, 0.88, 0.33]

/** After so many rounds every prompt has been cut at every place and in every way. */
const ROUNDS = SHARES.length * CUTS.length * 12

/**
 * The cases in their order, so that the first ones already have every kind: for each round a prompt of every kind with
 * another place and another kind of cut. The name of a case says all of it.
 */
export function* cases() {
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, kind] of KINDS.entries()) {
      const prompts = PROMPTS[kind]
      const prompt = prompts[round % prompts.length]
      const [text, fields] = Array.isArray(prompt) ? prompt : [prompt, {}]
      // Kinds of one round are cut in different places and ways.
      const number = round + at
      yield {
        name: `${kind}-${round}`,
        kind,
        cut: CUTS[number % CUTS.length],
        share: SHARES[number % SHARES.length],
        isInDelta: number % 2 === 1,
        // The same prompt comes again with another seed.
        seed: 7 + Math.floor(round / prompts.length),
        request: { messages: [{ role: 'user', content: text }], ...fields },
      }
    }
  }
}
