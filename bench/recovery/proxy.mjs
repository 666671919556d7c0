// A proxy that cuts answers. It requests the answer of a call once without a cut and records it, event by event, and then
// delivers the recording up to the cut: what was cut and what would have come are of one and the same answer, also at a
// temperature above 0. All further requests of a call are passed through.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { listen, readJson, sendJson } from './openai-server.mjs'

/** How long the client has at most to read what comes before the cut: a reset discards what it has not read. */
const BEFORE_CUT_MS = 5_000

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** The text of an event: of the content, or of the arguments of a tool call. */
const textOf = (event) => {
  const delta = event.choices?.[0]?.delta
  return delta?.content ?? delta?.tool_calls?.[0]?.function?.arguments ?? ''
}

const withText = (event, text) => {
  const copy = structuredClone(event)
  const { delta } = copy.choices[0]
  if (delta.content != null) delta.content = text
  else delta.tool_calls[0].function.arguments = text
  return copy
}

const points = (text) => [...text]

/** The events of a streamed answer. */
async function record(url, body, headers) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`the model answered ${response.status}: ${text.slice(0, 300)}`)
  const data = text.split('\n').filter((line) => line.startsWith('data: {'))
  return data.map((line) => JSON.parse(line.slice(6)))
}

export class CuttingProxy {
  #calls = new Map()
  #server = createServer((request, response) => {
    this.#serve(request, response).catch((error) => {
      if (response.headersSent) response.destroy()
      else sendJson(response, 502, { error: { message: String(error?.message ?? error) } })
    })
  })

  /** `folder`: where recordings are kept; without it they are kept in memory. */
  constructor(folder) {
    this.folder = folder
    this.memory = new Map()
    if (folder) mkdirSync(folder, { recursive: true })
  }

  async start() {
    this.port = await listen(this.#server)
    return this
  }

  close() {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(resolve))
  }

  /**
   * Prepares a call and returns its base URL and its record, which the proxy completes: `uncut`, `before`, `requests`.
   * `plan`: `upstream` (a base URL), `identity` (of model and server, for the recording), `cut`, `share`, `isInDelta`,
   * `delivered` (a function that returns what the client has delivered).
   */
  prepare(id, plan) {
    const call = { ...plan, uncut: undefined, before: undefined, requests: [] }
    this.#calls.set(id, call)
    return { baseUrl: `http://127.0.0.1:${this.port}/${id}/v1`, call }
  }

  forget(id) {
    this.#calls.delete(id)
  }

  async #recording(call, body) {
    const key = createHash('sha256')
      .update(JSON.stringify([call.identity, body]))
      .digest('hex')
      .slice(0, 24)
    const path = this.folder && join(this.folder, `${key}.json`)
    if (path && existsSync(path)) return JSON.parse(readFileSync(path, 'utf8'))
    if (!this.memory.has(key))
      this.memory.set(key, await record(`${call.upstream}/chat/completions`, body, call.headers))
    if (path) writeFileSync(path, JSON.stringify(this.memory.get(key)))
    return this.memory.get(key)
  }

  async #serve(request, response) {
    const [, id, ...path] = request.url.split('/')
    const call = this.#calls.get(id)
    if (!call || path.join('/') !== 'v1/chat/completions')
      return sendJson(response, 404, { error: { message: 'no such call' } })
    const body = await readJson(request)
    call.requests.push(body)
    if (call.before !== undefined || !body.stream) return this.#pass(call, body, response)
    // The identity of a session is new in every call and says nothing about the answer.
    const { session_id: _, ...same } = body
    const events = await this.#recording(call, same)
    call.uncut = events.map(textOf).join('')
    call.uncutReason = events.map((event) => event.choices?.[0]?.finish_reason).find(Boolean)
    await this.#cut(call, events, response)
  }

  async #cut(call, events, response) {
    const total = points(call.uncut).length
    let left = Math.max(1, Math.min(total - 1, Math.round(total * call.share)))
    call.before = ''
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const event of events) {
      if (left <= 0) break
      const text = points(textOf(event))
      // The last delta is never delivered whole, or nothing would be cut.
      const isLast = [...call.before].length + text.length >= total
      const part = call.isInDelta || isLast ? text.slice(0, left).join('') : text.join('')
      left -= text.length
      call.before += part
      const sent = part === text.join('') ? event : withText(event, part)
      response.write(`data: ${JSON.stringify(sent)}\n\n`)
    }
    const deadline = Date.now() + BEFORE_CUT_MS
    while (call.delivered && call.delivered() !== call.before && Date.now() < deadline) await sleep(2)
    // Tool calls are buffered by the client and requested anew, so it does not matter how much of one has arrived.
    if (!call.delivered) await sleep(50)
    if (call.cut === 'rst') response.socket?.resetAndDestroy()
    else if (call.cut === 'fin') response.socket?.end()
    // A stall: the client has to give up.
  }

  #pass(call, body, response) {
    const at = String(points(call.before ?? '').length)
    const upstream = httpRequest(`${call.upstream}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-bench-at': at, ...call.headers },
    })
    response.on('close', () => upstream.destroy())
    return new Promise((resolve, reject) => {
      upstream.on('error', (error) => (response.destroyed ? resolve() : reject(error)))
      upstream.on('response', (answer) => {
        response.writeHead(answer.statusCode, { 'content-type': answer.headers['content-type'] ?? 'application/json' })
        answer.pipe(response)
        answer.on('close', resolve)
      })
      upstream.end(JSON.stringify(body))
    })
  }
}
