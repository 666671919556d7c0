// The clients by name: a module, and the function of it that creates a client. A client is
// `{ stream(onDelta), chat() }`; `stream` resolves when the answer is complete.
export const CLIENTS = {
  'ours-onchunk': { module: './ours.mjs', open: 'onChunk', label: 'holysheep, onChunk' },
  'ours-textstream': { module: './ours.mjs', open: 'textStream', label: 'holysheep, textStream' },
  'ours-coalesce': { module: './ours.mjs', open: 'coalesce', label: 'holysheep, coalesce' },
  'tutorial-https': { module: './https.mjs', open: 'tutorial', label: 'hand-written https' },
  openai: { module: './openai.mjs', open: 'sdk', label: 'openai' },
  ai: { module: './ai.mjs', open: 'sdk', label: 'ai' },
  'undici-parser': { module: './undici.mjs', open: 'parsing', label: 'undici + eventsource-parser' },
  'undici-bytes': { module: './undici.mjs', open: 'bytes', label: 'undici, bytes only', countsBytes: true },
  'liter-llm': { module: './liter-llm.mjs', open: 'native', label: '@xberg-io/liter-llm' },
  baml: { module: './baml.mjs', open: 'runtime', label: '@boundaryml/baml' },
  ceiling: { binary: true, label: 'reqwest + serde_json (Rust)' },
}
