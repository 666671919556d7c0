import { URL } from 'node:url'

/** What a response from the network has and the constructor of `Response` cannot set. */
interface NetworkProperties {
  /** Without the fragment, as the Fetch standard says ("response URL"). */
  url: string
  /** A status that the constructor rejects. */
  status?: number
  redirected?: boolean
  statusText?: string
}

/** Makes a constructed response look like one that the platform's `fetch` has received, and its clones too. */
export function asReceived(response: Response, properties: NetworkProperties): Response {
  // As with the platform's: redefinable, not enumerable (a copy by `{ ...response }` stays empty), and only the method is
  // assignable.
  const configurable = true
  const own = Object.entries({ type: 'basic', ...properties }).map(([name, value]) => [name, { value, configurable }])
  const clone = () => asReceived(Response.prototype.clone.call(response), properties)
  return Object.defineProperties(response, {
    ...Object.fromEntries(own),
    clone: { value: clone, configurable, writable: true },
  })
}

/** A URL as a response shows it. */
export function responseUrl(url: URL): string {
  if (url.hash === '') return url.href
  const shown = new URL(url)
  shown.hash = ''
  return shown.href
}
