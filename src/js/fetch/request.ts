/** What `fetch` was called with: looked at first, and read only where the engine takes it. */

/** Where a request goes, without its body. */
export interface Target {
  url: URL
  method: string
}

/** A request whose body was read. */
export interface Asked {
  headers: Headers
  /** The body as text; undefined where it is no UTF-8. */
  text: string | undefined
  signal: AbortSignal | undefined
  /** The same request once more, for the platform's own `fetch`: what was read is not lost. */
  again: [input: string | URL | Request, init: RequestInit | undefined]
}

/** Undefined for what only the platform's `fetch` can judge. */
export function look(input: string | URL | Request, init: RequestInit | undefined): Target | undefined {
  const request = input instanceof Request ? input : undefined
  try {
    const url = new URL(request ? request.url : String(input))
    if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined
    return { url, method: (init?.method ?? request?.method ?? 'GET').toUpperCase() }
  } catch {
    return undefined
  }
}

export async function read(input: string | URL | Request, init: RequestInit | undefined): Promise<Asked> {
  // What every SDK does, without the price of a `Request`.
  if (!(input instanceof Request) && typeof init?.body === 'string') {
    const { headers, body, signal } = init
    return { headers: new Headers(headers), text: body, signal: signal ?? undefined, again: [input, init] }
  }
  const request = new Request(input, init)
  // Always there, also where the caller has none: it costs one listener.
  const { headers, method, redirect, credentials, signal } = request
  const body = await request.arrayBuffer()
  return {
    headers,
    text: decode(body),
    signal,
    again: [request.url, { ...init, method, headers, redirect, credentials, signal, body }],
  }
}

function decode(body: ArrayBuffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    return undefined
  }
}
