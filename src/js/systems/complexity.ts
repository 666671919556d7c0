/** How complex a question is, by the rules of document 003. */
import type { QueryComplexity } from '../../../index'
import type { Messages } from './shared'

const KEYWORDS = [
  ...['phân tích', 'tổng hợp', 'so sánh', 'đánh giá', 'tại sao', 'vì sao', 'giải thích', 'báo cáo'],
  ...['analyze', 'synthesize', 'compare', 'evaluate'],
].map((word) => word.normalize('NFC'))
/** Characters of the user's text above which a question is complex, or moderate. */
const LONG = 500
const MEDIUM = 150

export function classifyComplexity(messages: Messages): QueryComplexity {
  const texts = (Array.isArray(messages) ? messages : [])
    .filter((message) => message?.role === 'user')
    .map((message) => textOf(message.content).normalize('NFC'))
  const characters = texts.reduce((sum, text) => sum + [...text].length, 0)
  const last = texts.at(-1)?.toLowerCase() ?? ''
  const found = KEYWORDS.filter((word) => last.includes(word)).length
  if (found >= 2 || characters > LONG) return 'complex'
  return found >= 1 || characters > MEDIUM ? 'moderate' : 'simple'
}

/** The text of a message's content, which may be a list of parts. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part) => (typeof part?.text === 'string' ? part.text : '')).join('\n')
}
