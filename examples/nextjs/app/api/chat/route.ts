import { randomUUID } from 'node:crypto'
import type { ChatStream, HolySheepError } from 'holysheep'
import { backend } from '@/lib/provider'
import type { Summary } from '@/lib/types'

export async function POST(request: Request): Promise<Response> {
  const { messages } = ((await request.json().catch(() => null)) ?? {}) as { messages?: [] }
  if (!Array.isArray(messages) || messages.length === 0) return badRequest('messages: an array of messages is required')

  const { client, callLogs, prepare } = await backend()
  prepare()
  // Two events in addition to OpenAI's: the progress and, after [DONE], a summary of the attempts.
  const encoder = new TextEncoder()
  const event = (type: string, data: unknown) => encoder.encode(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
  const sessionId = randomUUID()
  let stream: ChatStream
  const withProgress = new TransformStream<Uint8Array, Uint8Array>({
    start(controller) {
      callLogs.subscribe(sessionId, (progress) => {
        try {
          controller.enqueue(event('progress', progress))
        } catch {
          // The browser has disconnected.
        }
      })
    },
    async flush(controller) {
      const result = await stream.result.catch(() => undefined)
      if (!result) return
      const summary: Summary = {
        attempts: result.attempts.length,
        recoveries: result.recoveries,
        endpoints: result.segments.map(({ endpoint }) => endpoint),
        totalTokens: result.usage?.total_tokens ?? null,
      }
      controller.enqueue(event('summary', summary))
    },
  })
  try {
    stream = client.stream({ messages, stream_options: { include_usage: true } }, { sessionId })
  } catch (error) {
    callLogs.unsubscribe(sessionId)
    const { code, message } = error as HolySheepError
    if (code === 'INVALID_ARGUMENT') return badRequest(message)
    throw error
  }
  // Server-sent events in OpenAI's shape. If the browser disconnects, the body is canceled and the call is aborted.
  const response = stream.toSSEResponse({ errorMessage })
  return new Response(response.body?.pipeThrough(withProgress), response)
}

/** The error message for the user, without details of the server. */
function errorMessage(error: unknown): string {
  const { code, status, partial, attempts = [] } = error as Partial<HolySheepError>
  if (partial) return 'The answer was interrupted, and no provider could complete it.'
  if (status === 401 || status === 403) return 'The provider rejected the API key of this server.'
  if (status === 400) return 'The provider rejected the request.'
  if (code === 'CIRCUIT_OPEN' && attempts.length === 0) {
    return 'No provider is available: all circuit breakers are open. Try again in a few seconds.'
  }
  const count = attempts.length === 1 ? 'one attempt' : `${attempts.length} attempts`
  return `No provider is available: ${count} failed. Try again in a few seconds.`
}

function badRequest(message: string): Response {
  return Response.json({ error: { message, type: 'invalid_request_error', code: null, param: null } }, { status: 400 })
}
