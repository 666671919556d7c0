/** From the events of a stream to its bytes, and the mutations of these bytes and of how they are sent. */
import { encode } from './json.mjs'

/** The data of an item, as text; undefined for a comment. */
export const dataOf = (item) =>
  item.data === undefined || typeof item.data === 'string' ? item.data : encode(item.data)

/** Each changes `case.framing`. */
export const FRAMINGS = {
  'lines end with CRLF': (f) => {
    f.lineEnd = '\r\n'
  },
  'lines end with CR': (f) => {
    f.lineEnd = '\r'
  },
  'line ends mixed': (f, r) => {
    f.lineEnd = () => r.pick(['\n', '\r\n', '\r'])
  },
  'no space after the colon': (f) => {
    f.colon = ':'
  },
  'a blank line missing': (f, r) => {
    f.joined = r.next()
  },
  'no blank lines': (f) => {
    f.isJoined = true
  },
  'extra blank lines': (f) => {
    f.blank = 3
  },
  'a byte order mark': (f) => {
    f.start = '\ufeff'
  },
  'ids and retries': (f) => {
    f.fields = ['id: 7', 'retry: 100']
  },
  'events over several data lines': (f) => {
    f.isPretty = true
  },
  'stray lines': (f, r) => {
    f.stray = [r.next(), r.pick(['hello', 'error', 'x: y', 'date'])]
  },
  'invalid UTF-8': (f, r) => {
    f.invalid = [r.next(), r.pick([[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf0, 0x9f]])]
  },
  'a byte replaced': (f, r) => {
    f.replaced = [r.next(), r.int(256)]
  },
  truncated: (f, r) => {
    f.truncated = r.next()
  },
  'the connection is reset': (f, r) => {
    f.truncated = r.next()
    f.reset = true
  },
  'no blank line at the end': (f) => {
    f.isOpen = true
  },
  ndjson: (f) => {
    f.format = 'ndjson'
  },
  'a list of chunks': (f) => {
    f.format = 'list'
  },
  'one JSON answer': (f) => {
    f.format = 'completion'
  },
  'another content type': (f, r) => {
    f.contentType = r.pick(['application/json', 'text/plain', 'application/octet-stream', 'text/html', ''])
  },
}

/** The bytes of the case. */
export function bytesOf(c) {
  const { framing } = c
  let text = { ndjson, list, completion }[framing.format]?.(c) ?? sse(c)
  if (framing.isOpen) text = text.replace(/[\r\n]+$/, '')
  let bytes = Buffer.from(text)
  const at = (position) => Math.floor(position * bytes.length)
  if (framing.invalid) {
    const [position, inserted] = framing.invalid
    bytes = Buffer.concat([bytes.subarray(0, at(position)), Buffer.from(inserted), bytes.subarray(at(position))])
  }
  if (framing.replaced) bytes[at(framing.replaced[0])] = framing.replaced[1]
  return framing.truncated === undefined ? bytes : bytes.subarray(0, at(framing.truncated))
}

function sse({ items, framing }) {
  const { colon = ': ', blank = 1, fields = [], start = '' } = framing
  const end = typeof framing.lineEnd === 'function' ? framing.lineEnd : () => framing.lineEnd ?? '\n'
  const lines = []
  for (const [at, item] of items.entries()) {
    if (framing.stray && Math.floor(framing.stray[0] * items.length) === at) lines.push(framing.stray[1])
    if (item.comment) lines.push(item.comment)
    if (item.event && !(item.data === '' && framing.isJoined)) lines.push(`event${colon}${item.event}`)
    const data = dataOf(item)
    // Only a blank line ends an event without data.
    if (data === '' && framing.isJoined) continue
    if (data !== undefined) {
      lines.push(...fields)
      for (const line of framing.isPretty ? pretty(data) : [data]) lines.push(`data${colon}${line}`)
    }
    const isJoined = framing.isJoined || (framing.joined && Math.floor(framing.joined * items.length) === at)
    if (!isJoined) lines.push(...Array(blank).fill(''))
  }
  return start + lines.map((line) => line + end()).join('')
}

const pretty = (data) => (data.startsWith('{') && data.length < 3000 ? data.replace(/,"/g, ',\n"').split('\n') : [data])
const events = ({ items }) => items.map(dataOf).filter((data) => data && data !== '[DONE]')
const ndjson = (c) => `${events(c).join('\n')}\n`
const list = (c) => `[${events(c).join(',\n')}]`

/** The answer as the document that a request without `stream` gets. */
function completion(c) {
  const [first] = c.intended.strict.choices.length ? c.items.filter((item) => item.data?.choices?.length) : []
  const choices = c.intended.lenient.choices.map((choice, index) => ({
    index,
    message: {
      role: 'assistant',
      content: choice.text || null,
      ...(choice.refusal && { refusal: choice.refusal }),
      ...(choice.reasoning && { reasoning_content: choice.reasoning }),
      ...(choice.tools.length && {
        tool_calls: choice.tools.map(([id, name, args]) => ({
          id,
          type: 'function',
          function: { name, arguments: args },
        })),
      }),
    },
    finish_reason: choice.finish,
  }))
  const { usage } = c.intended.lenient
  const { id = 'a', model = 'm' } = first?.data ?? {}
  return encode({ id, object: 'chat.completion', created: 1700000000, model, choices, ...(usage && { usage }) })
}
