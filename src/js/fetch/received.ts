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
  const own = Object.entries({ type: 'basic', ...properties }).map(([name, value]) => [name, { value }])
  const clone = () => asReceived(Response.prototype.clone.call(response), properties)
  // The platform's are not enumerable either, so that a copy by `{ ...response }` stays empty.
  return Object.defineProperties(response, { ...Object.fromEntries(own), clone: { value: clone } })
}

/** A URL as a response shows it. */
export function responseUrl(url: URL): string {
  if (url.hash === '') return url.href
  const shown = new URL(url)
  shown.hash = ''
  return shown.href
}
