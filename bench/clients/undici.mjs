// undici at its fastest: its lowest interface (`dispatch`, without a web or Node stream), one
// request per connection, no limit on connections.
import { StringDecoder } from 'node:string_decoder'
import { createParser } from 'eventsource-parser'
import { body, HEADERS } from './request.mjs'

/** undici 8 needs Node 22. */
const undici = await import(Number(process.versions.node.split('.')[0]) < 22 ? 'undici-for-node-20' : 'undici')

class Handler {
  constructor(onData, resolve, reject) {
    this.onData = onData
    this.resolve = resolve
    this.reject = reject
  }
  onRequestStart() {}
  onResponseStart(controller, status) {
    if (status !== 200) controller.abort(new Error(`status ${status}`))
  }
  onResponseData(_controller, chunk) {
    this.onData(chunk)
  }
  onResponseEnd() {
    this.resolve()
  }
  onResponseError(_controller, error) {
    this.reject(error)
  }
}

function open(url) {
  const { origin, pathname } = new URL(url)
  const agent = new undici.Agent({ connections: null, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 })
  const path = `${pathname}/chat/completions`
  const request = (stream, onData) =>
    new Promise((resolve, reject) => {
      const options = { origin, path, method: 'POST', headers: HEADERS, body: body(stream) }
      agent.dispatch(options, new Handler(onData, resolve, reject))
    })
  return {
    request,
    async chat() {
      const parts = []
      await request(false, (chunk) => parts.push(chunk))
      return JSON.parse(Buffer.concat(parts).toString()).choices[0].message.content
    },
  }
}

/** With a parser of server-sent events and `JSON.parse`. */
export function parsing({ url }) {
  const { request, chat } = open(url)
  return {
    chat,
    async stream(onDelta) {
      const decoder = new StringDecoder('utf8')
      const parser = createParser({
        onEvent({ data }) {
          if (data === '[DONE]') return
          const content = JSON.parse(data).choices[0]?.delta.content
          if (content) onDelta(content)
        },
      })
      await request(true, (chunk) => parser.feed(decoder.write(chunk)))
    },
  }
}

/** Reads the bytes without parsing them, which is the minimum cost of a JavaScript client. */
export function bytes({ url }) {
  const { request, chat } = open(url)
  return {
    chat,
    /** `onDelta` receives a number of bytes. */
    stream: (onDelta) => request(true, (chunk) => onDelta(chunk.length)),
  }
}
