import { backend } from '@/lib/provider'
import type { Summary } from '@/lib/types'

export async function POST(request: Request): Promise<Response> {
  const { messages } = (await request.json().catch(() => ({}))) as { messages?: [] }
  if (!Array.isArray(messages) || messages.length === 0) return refuse('messages: an array of messages is needed')

  const { client, prepare } = await backend()
  prepare()
  const stream = client.stream({ messages, stream_options: { include_usage: true } })
  // Server-sent events in OpenAI's shape. When the browser leaves, the body is cancelled, and the call ends.
  const response = stream.toSSEResponse({ errorMessage })

  // One event more than OpenAI has, after [DONE]: how the answer came about.
  const encoder = new TextEncoder()
  const withSummary = new TransformStream<Uint8Array, Uint8Array>({
    async flush(controller) {
      const result = await stream.result.catch(() => undefined)
      if (!result) return
      const summary: Summary = {
        attempts: result.attempts.length,
        recoveries: result.recoveries,
        endpoints: result.parts.map(({ endpoint }) => endpoint),
        totalTokens: result.usage?.total_tokens ?? null,
      }
      controller.enqueue(encoder.encode(`event: summary\ndata: ${JSON.stringify(summary)}\n\n`))
    },
  })
  return new Response(response.body?.pipeThrough(withSummary), response)
}

/** What the reader is told of a failure: in this app's words, without what is the server's own business. */
function errorMessage(error: unknown): string {
  const { code } = error as { code?: string }
  if (code === 'CIRCUIT_OPEN') return 'No provider can answer at the moment. It is worth another try in a few seconds.'
  return 'The answer could not be written to its end. Nothing of it is lost; you can try again.'
}

function refuse(message: string): Response {
  return Response.json({ error: { message, type: 'invalid_request_error', code: null, param: null } }, { status: 400 })
}
