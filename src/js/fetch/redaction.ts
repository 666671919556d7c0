/** Removes the request's secrets from what a provider answers to a request that the platform's `fetch` sends. */
import { Buffer } from 'node:buffer'
import { ReadableStream } from 'node:stream/web'
import { URL } from 'node:url'
import { TextEncoder } from 'node:util'
import { addon } from '../native'
import { bare, stringify } from '../own'
import { clearTimeout, setTimeout, type Timer } from '../timers'
import { headersOf } from './errors'
import { asReceived } from './received'

/** How much of an error's body is passed on, in bytes, and how long its end is awaited: as the engine does. */
const MAX_BODY = 64 * 1024
const MAX_BODY_MS = 5000

/** The response for the caller. One with an error status quotes no secret of the request; any other is unchanged. */
export function withoutSecrets(
  response: Response,
  input: string | URL | Request,
  init: RequestInit | undefined,
): Response {
  if (response.status < 400 || response.type === 'error') return response
  const sent = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined))
  const url = new URL(input instanceof Request ? input.url : String(input))
  const redactor = new addon.NativeRedactor(
    stringify(bare({ headers: Object.fromEntries(sent), query: url.search.slice(1) })) as string,
  )
  const received = Object.fromEntries(response.headers)
  const clean = Object.entries(received).filter(([name]) => redactor.redact(name) === name)
  const headers = headersOf(Object.fromEntries(clean.map(([name, text]) => [name, redactor.redact(text)])), undefined)
  // The body has been decoded, and its length changes.
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) headers.delete(name)
  const { status, statusText, url: from, redirected } = response
  const body = response.body && redactedBody(response.body, (text) => redactor.redact(text))
  // The constructor rejects some statuses that `fetch` passes on.
  const shown = new Response(body, bare({ status: Math.min(status, 599), statusText: '', headers }))
  const line = redactor.redact(statusText)
  return asReceived(shown, { url: from, status, redirected, statusText: line })
}

/** The body without secrets. It is read once somebody reads it, up to both limits: it may never end. */
function redactedBody(body: ReadableStream<Uint8Array>, redact: (text: string) => string): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>(
    bare({
      async pull(controller: ReadableStreamDefaultController<Uint8Array>) {
        const chunks: Uint8Array[] = []
        let timer: Timer | undefined
        const timeout = new Promise<{ done: true; value?: undefined }>((resolve) => {
          timer = setTimeout(() => resolve({ done: true }), MAX_BODY_MS)
        })
        try {
          for (let size = 0; size < MAX_BODY; ) {
            const { done, value } = await Promise.race([reader.read(), timeout])
            if (done) break
            chunks.push(value)
            size += value.length
          }
        } finally {
          clearTimeout(timer)
        }
        // Does nothing if it has ended.
        reader.cancel().catch(() => {})
        const bytes = Buffer.concat(chunks).subarray(0, MAX_BODY)
        const text = bytes.toString()
        const redacted = redact(text)
        if (bytes.length > 0) controller.enqueue(redacted === text ? bytes : new TextEncoder().encode(redacted))
        controller.close()
      },
      cancel: (reason: unknown) => reader.cancel(reason),
    }),
    bare({ highWaterMark: 0 }),
  )
}
