/** The arguments of `fetch`. The body is read only if the engine takes the request. */
import { URL } from 'node:url'
import { TextDecoder } from 'node:util'
import { bare } from '../own'

/** The URL and method of a request. */
export interface Target {
  url: URL
  method: string
}

/** A request whose body has been read. */
export interface BufferedRequest {
  headers: Headers
  /** The body as text; undefined if it is not UTF-8. */
  text: string | undefined
  signal: AbortSignal | undefined
  /** The arguments for sending the same request with the platform's `fetch`. */
  replay: [input: string | URL | Request, init: RequestInit | undefined]
}

/** Undefined for a request that only the platform's `fetch` can handle. */
export function targetOf(input: string | URL | Request, init: RequestInit | undefined): Target | undefined {
  const request = input instanceof Request ? input : undefined
  try {
    const url = new URL(request ? request.url : String(input))
    if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined
    // `fetch` rejects a URL with a name and a password.
    if (url.username !== '' || url.password !== '') return undefined
    return { url, method: (init?.method ?? request?.method ?? 'GET').toUpperCase() }
  } catch {
    return undefined
  }
}

export async function bufferRequest(
  input: string | URL | Request,
  init: RequestInit | undefined,
): Promise<BufferedRequest> {
  // The arguments that every SDK uses need no `Request`, which is expensive.
  if (!(input instanceof Request) && typeof init?.body === 'string') {
    const { headers, body, signal } = init
    return { headers: new Headers(headers), text: body, signal: signal ?? undefined, replay: [input, init] }
  }
  const request = new Request(input, init)
  // A `Request` always has a signal, even if the caller has none. It costs one listener.
  const { headers, method, redirect, credentials, signal } = request
  const body = await request.arrayBuffer()
  return {
    headers,
    text: decode(body),
    signal,
    replay: [request.url, bare({ ...init, method, headers, redirect, credentials, signal, body })],
  }
}

function decode(body: ArrayBuffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    return undefined
  }
}
