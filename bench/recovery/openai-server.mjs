// The HTTP half of a small OpenAI-compatible server: a request comes in, `generate` yields the deltas of the answer.
// The model's server and the scripted one share it, so that both are read over the same wire.
import { createServer } from 'node:http'

/** The body of a request as JSON. */
export async function readJson(request) {
  const parts = []
  for await (const part of request) parts.push(part)
  return JSON.parse(Buffer.concat(parts).toString('utf8'))
}

export const sendJson = (response, status, value) => {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}

/** The port of a server that listens on loopback. */
export const listen = (server, port = 0) =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server.address().port))
  })

/**
 * Serves `POST /turn/v1/chat/completions` and `POST /native/v1/chat/completions`, streamed or not. The two differ in what
 * they do with a last assistant turn: `turn` closes it and opens a new one, `native` continues it.
 *
 * `generate({ body, headers, native, signal })` is an async generator of deltas, which returns the finish reason.
 */
export function chatServer(generate) {
  return createServer(async (request, response) => {
    const [, mode, ...path] = request.url.split('/')
    if (path.join('/') === 'v1/models') return sendJson(response, 200, { object: 'list', data: [] })
    if (path.join('/') !== 'v1/chat/completions' || !['turn', 'native'].includes(mode)) {
      return sendJson(response, 404, { error: { message: `no such path: ${request.url}` } })
    }
    const abort = new AbortController()
    response.on('close', () => abort.abort())
    try {
      const body = await readJson(request)
      const { headers } = request
      await answer(response, body, generate({ body, headers, native: mode === 'native', signal: abort.signal }))
    } catch (error) {
      if (response.headersSent) response.destroy()
      else sendJson(response, 500, { error: { message: String(error?.message ?? error) } })
    }
  })
}

async function answer(response, body, deltas) {
  const head = { id: 'chatcmpl-bench', created: 1, model: body.model }
  const message = { role: 'assistant', content: '' }
  const chunk = (choice) =>
    response.write(
      `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, finish_reason: null, ...choice }] })}\n\n`,
    )
  let count = 0
  if (body.stream) response.writeHead(200, { 'content-type': 'text/event-stream' })
  let next = await deltas.next()
  for (; !next.done; next = await deltas.next()) {
    count++
    const delta = next.value
    if (body.stream) chunk({ delta })
    else if (delta.content) message.content += delta.content
    else if (delta.tool_calls) addToolCall(message, delta.tool_calls[0])
  }
  const usage = { prompt_tokens: 0, completion_tokens: count, total_tokens: count }
  if (body.stream) {
    chunk({ delta: {}, finish_reason: next.value })
    response.end('data: [DONE]\n\n')
  } else {
    const choices = [{ index: 0, message, finish_reason: next.value }]
    sendJson(response, 200, { ...head, object: 'chat.completion', choices, usage })
  }
}

/** Adds the delta of a tool call to a message. */
export function addToolCall(message, delta) {
  message.tool_calls ??= []
  message.tool_calls[delta.index] ??= { id: delta.id, type: 'function', function: { name: '', arguments: '' } }
  const call = message.tool_calls[delta.index].function
  call.name += delta.function?.name ?? ''
  call.arguments += delta.function?.arguments ?? ''
}
