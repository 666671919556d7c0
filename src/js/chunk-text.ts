/** The text of a chunk, as the engine reads it. */
import type { ChatCompletionChunk } from '../../index'

/** The text of the first choice in a chunk. */
export function textOf(chunk: ChatCompletionChunk): string {
  let text = ''
  // A provider may send anything here.
  if (!Array.isArray(chunk.choices)) return text
  for (const choice of chunk.choices) {
    if (choice?.index === 0) text += partText(choice.delta?.content)
  }
  return text
}

/** The text of a delta, even where it is a number, a boolean or a list of parts, as the engine reads it. */
function partText(content: unknown): string {
  if (typeof content === 'string') return content
  if (typeof content === 'number' || typeof content === 'boolean') return String(content)
  if (!Array.isArray(content)) return ''
  const isText = (part: { type?: unknown; text?: unknown } | null) =>
    typeof part?.text === 'string' && (typeof part.type !== 'string' || /^$|text$/.test(part.type))
  return content.map((part) => (isText(part) ? part.text : '')).join('')
}
