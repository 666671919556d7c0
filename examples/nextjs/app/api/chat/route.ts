import { randomUUID } from 'node:crypto'
import type { ChatStream, HolySheepError } from 'holysheep'
import { backend } from '@/lib/provider'
import type { Summary } from '@/lib/types'

export async function POST(request: Request): Promise<Response> {
  const { messages } = ((await request.json().catch(() => null)) ?? {}) as { messages?: [] }
  if (!Array.isArray(messages) || messages.length === 0) return refuse('messages: an array of messages is needed')

  const { client, courses, prepare } = await backend()
  prepare()
  // Two kinds of events more than OpenAI has: what is waited for, and, after [DONE], how the answer came about.
  const encoder = new TextEncoder()
  const event = (type: string, data: unknown) => encoder.encode(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
  const sessionId = randomUUID()
  let stream: ChatStream
  const withMore = new TransformStream<Uint8Array, Uint8Array>({
    start(controller) {
      courses.follow(sessionId, (progress) => {
        try {
          controller.enqueue(event('progress', progress))
        } catch {
          // The browser has left.
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
    courses.unfollow(sessionId)
    const { code, message } = error as HolySheepError
    if (code === 'INVALID_ARGUMENT') return refuse(message)
    throw error
  }
  // Server-sent events in OpenAI's shape. When the browser leaves, the body is cancelled, and the call ends.
  const response = stream.toSSEResponse({ errorMessage })
  return new Response(response.body?.pipeThrough(withMore), response)
}

/** What the reader is told of a failure: in this app's words, without what is the server's own business. */
function errorMessage(error: unknown): string {
  const { code, status, partial, attempts = [] } = error as Partial<HolySheepError>
  if (partial) return 'The answer broke off, and no provider could write the rest. What is there stays.'
  if (status === 401 || status === 403) return 'The provider does not accept the key of this server.'
  if (status === 400) return 'The provider refused the question.'
  if (code === 'CIRCUIT_OPEN' && attempts.length === 0) {
    return 'No provider can answer: all of them rest after failures. Try again in a few seconds.'
  }
  const tries = attempts.length === 1 ? 'one try' : `${attempts.length} tries`
  return `No provider can answer: ${tries} failed. Try again in a few seconds.`
}

function refuse(message: string): Response {
  return Response.json({ error: { message, type: 'invalid_request_error', code: null, param: null } }, { status: 400 })
}
