// The clients by name: the module and the function in it that opens one. A client is
// `{ stream(onPiece), whole() }`; `stream` resolves when the answer is whole.
export const CLIENTS = {
  'ours-onchunk': { module: './ours.mjs', open: 'onChunk', label: 'holysheep, onChunk' },
  'ours-textstream': { module: './ours.mjs', open: 'textStream', label: 'holysheep, textStream' },
  'ours-coalesce': { module: './ours.mjs', open: 'coalesce', label: 'holysheep, coalesce' },
  'docs-https': { module: './https.mjs', open: 'documents', label: 'https by hand' },
  openai: { module: './openai.mjs', open: 'sdk', label: 'openai' },
  ai: { module: './ai.mjs', open: 'sdk', label: 'ai' },
  'undici-parser': { module: './undici.mjs', open: 'parsing', label: 'undici + eventsource-parser' },
  'undici-bytes': { module: './undici.mjs', open: 'bytes', label: 'undici, bytes only', countsBytes: true },
  'liter-llm': { module: './liter-llm.mjs', open: 'native', label: '@xberg-io/liter-llm' },
  baml: { module: './baml.mjs', open: 'runtime', label: '@boundaryml/baml' },
  ceiling: { binary: true, label: 'reqwest + serde_json (Rust)' },
}
