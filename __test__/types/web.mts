// The intended use of `pipe` and of the web responses, and uses that the declarations must reject.
import { createServer, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { ChatStream, PipeOutcome } from 'holysheep'

export async function pipes(stream: ChatStream, res: ServerResponse) {
  createServer(async (_, response) => void (await stream.pipe(response)))
  createSecureServer(async (_, response) => void (await stream.pipe(response)))
  const { outcome, error }: PipeOutcome = await stream.pipe(res, {
    heartbeatMs: 5000,
    onDisconnect: 'finish',
    errorMessage: (error) => `${error}`,
  })
  // @ts-expect-error: `pipe` does not write to a web response
  await stream.pipe(new Response())
  // @ts-expect-error: no such value
  await stream.pipe(res, { onDisconnect: 'wait' })
  return outcome === 'failed' ? error : undefined
}

export function responds(stream: ChatStream): Response {
  const text: ReadableStream<string> = stream.toReadableStream({ onDisconnect: 'abort' })
  // @ts-expect-error: plain text has no comments
  stream.toTextResponse({ heartbeatMs: 5 })
  stream.toTextResponse({ status: 201, headers: new Headers() })
  return text.locked
    ? stream.toSSEResponse()
    : stream.toSSEResponse({ headers: { 'x-a': 'b' }, heartbeatMs: 0, errorMessage: String })
}
