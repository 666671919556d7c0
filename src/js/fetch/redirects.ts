/** Redirects of requests that the platform's `fetch` sends: a key and a body go to no other origin. */
import { URL } from 'node:url'
import { fromRecord } from '../errors'
import { bare, ownInit } from '../own'
import { errorResponse } from './errors'
import type { Target } from './request'

/** The statuses of redirects (Fetch standard, "redirect status"). */
const REDIRECTS = [301, 302, 303, 307, 308]

/** How many redirects a GET follows. */
const MAX_REDIRECTS = 5

type Input = string | URL | Request

/**
 * Sends a request. A GET or HEAD follows up to five redirects on its own origin (scheme, host and port). Any other redirect
 * is the response of the error `REDIRECTED`, as it is for requests that the engine sends. `redirect: 'manual'` and `'error'`
 * mean what they mean to `fetch`.
 */
export async function send(
  fetch: typeof globalThis.fetch,
  target: Target | undefined,
  input: Input,
  options: RequestInit | undefined,
): Promise<Response> {
  const init = wholeInit(input, options)
  const mode = init.redirect ?? (input instanceof Request ? input.redirect : 'follow')
  if (mode !== 'follow') return fetch(input, init)
  const manual = bare({ ...init, redirect: 'manual' as const })
  let response = await fetch(input, manual)
  const follows = target && ['GET', 'HEAD'].includes(target.method)
  let from = target?.url
  for (let count = 0; isRedirect(response); count++) {
    const to = locationOf(response, from)
    discard(response)
    if (!follows || !from || to?.origin !== from.origin || to.username || to.password || count === MAX_REDIRECTS) {
      return redirected(response, from, to, count)
    }
    from = to
    response = await fetch(to.href, bare({ ...manual, method: target.method }))
  }
  return response
}

/** The members of `RequestInit` that have no effect with these values. */
const NO_EFFECT: Record<string, unknown> = {
  body: null,
  cache: 'default',
  credentials: 'same-origin',
  integrity: '',
  keepalive: false,
  mode: 'cors',
  redirect: 'follow',
  referrer: 'about:client',
  referrerPolicy: '',
  window: null,
}

/** The options with every member that `fetch` would otherwise read from the prototype. */
function wholeInit(input: Input, options: RequestInit | undefined): RequestInit {
  const request = input instanceof Request ? input : undefined
  const given = request
    ? { method: request.method, signal: request.signal, headers: request.headers }
    : { method: 'GET', signal: null, headers: bare({}), body: null }
  const init: Record<string, unknown> = bare({ ...given, ...ownInit(options) })
  for (const [name, value] of Object.entries(NO_EFFECT)) {
    // Other members are given only where this is needed: a `fetch` of the caller's may not know them.
    if (name in init || !(name in Object.prototype)) continue
    const isOfRequest = request && name !== 'body' && Object.hasOwn(Request.prototype, name)
    init[name] = isOfRequest ? (request as unknown as Record<string, unknown>)[name] : value
  }
  return init as RequestInit
}

function isRedirect({ status, type }: Response): boolean {
  // A platform may hide what a redirect is, as browsers do.
  return REDIRECTS.includes(status) || type === 'opaqueredirect'
}

function locationOf({ headers }: Response, base: URL | undefined): URL | undefined {
  const location = headers.get('location')
  try {
    return location === null ? undefined : new URL(location, base)
  } catch {
    return undefined
  }
}

/** The body of a redirect is not read. */
function discard(response: Response) {
  response.body?.cancel().catch(() => {})
}

function redirected({ status }: Response, from: URL | undefined, to: URL | undefined, count: number): Response {
  // The path and the query of the address may hold a token.
  const target =
    to === undefined
      ? 'redirect without a valid location'
      : to.origin !== from?.origin
        ? `redirect to ${to.origin === 'null' ? to.protocol : to.host}`
        : count === MAX_REDIRECTS
          ? `more than ${MAX_REDIRECTS} redirects`
          : 'redirect to another path of the same host'
  const received = REDIRECTS.includes(status) ? status : undefined
  const message = `${received ?? 'error'} from the provider: ${target}`
  const record = { class: 'APIError', code: 'REDIRECTED', message, status: received }
  return errorResponse(fromRecord(record), 'openai')
}
