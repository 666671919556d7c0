/** `holysheep/fetch`: a WHATWG `fetch` that runs on the engine. */
import type { URL } from 'node:url'
import type { FetchOptions, HolySheepFetch } from '../../../fetch'
import type { ClientOptions } from '../../../index'
import { HolySheepStreamingClient } from '../client'
import { fromRecord, invalid, unknownOption } from '../errors'
import { callback, optionsObject, wholeMs } from '../options'
import { bare, ownInit } from '../own'
import { HEARTBEAT_MS } from '../web'
import { chat, type RequestContext } from './chat'
import { passthrough } from './passthrough'
import { fetchOnce, fetchWithRetries, retryPolicyOf } from './platform-fetch'
import { asReceived, responseUrl } from './received'
import { bufferRequest, type Target, targetOf } from './request'

/** The dialects of the engine by the end of the request's path. Other requests go to the platform's `fetch`. */
const DIALECTS: ReadonlyArray<{ path: string; answer(context: RequestContext): Promise<Response | undefined> }> = [
  { path: '/chat/completions', answer: chat },
  { path: '/responses', answer: passthrough('responses') },
  { path: '/messages', answer: passthrough('messages') },
]

/** The maximum number of base URLs with a client. Beyond it the least recently used client is dropped. */
const MAX_CLIENTS = 64

/** Client options that each request sets itself, or that do not apply. A health check would have no key. */
const UNSUPPORTED_OPTIONS = ['baseUrl', 'signal', 'coalesce', 'idempotencyKey', 'sessionId', 'healthCheckMs']

export function createFetch(options?: FetchOptions): HolySheepFetch {
  const { heartbeatMs, fetch: customFetch, ...others } = optionsObject('options', options) as FetchOptions
  const general = bare(others)
  for (const name of UNSUPPORTED_OPTIONS) {
    if (name in general)
      throw unknownOption(name, 'the other options of a client; base URL, key and signal come from the request')
  }
  if (typeof general.recovery === 'object' && general.recovery?.mode === 'restart') {
    throw invalid('recovery.mode', 'restart', "'continue' or 'fail': text that an SDK has received cannot be retracted")
  }
  const heartbeat = wholeMs('heartbeatMs', heartbeatMs ?? HEARTBEAT_MS)
  // Taken now: `globalThis.fetch` may become this one.
  const platformFetch = callback('fetch', customFetch) ?? globalThis.fetch
  // This client validates the options now, and decides about retries of platform requests. It makes no calls.
  const endpoints = general.endpoints ?? [{ name: 'none', baseUrl: 'http://localhost' }]
  const validator = new HolySheepStreamingClient({ ...general, endpoints } as ClientOptions)
  const policy = retryPolicyOf(general, platformFetch, validator)
  const clients = new Map<string, HolySheepStreamingClient>()
  let closed = false

  const clientFor = (base: string) => {
    const client = clients.get(base) ?? clientOf(general, base)
    // The map is in order of last use. A dropped client still finishes its calls.
    clients.delete(base)
    clients.set(base, client)
    if (clients.size > MAX_CLIENTS) clients.delete(clients.keys().next().value as string)
    return client
  }

  const answer = async (input: string | URL | Request, options?: RequestInit): Promise<Response> => {
    const init = ownInit(options)
    if (closed)
      throw fromRecord({ class: 'HolySheepError', code: 'CLIENT_CLOSED', message: 'this fetch has been closed' })
    const target = targetOf(input, init)
    const dialect = target && dialectOf(target)
    if (!dialect) return fetchWithRetries(policy, target, input, init)
    const { url } = target
    const request = await bufferRequest(input, init)
    const response = await dialect.answer({
      client: clientFor(`${url.origin}${url.pathname.slice(0, -dialect.path.length)}`),
      request,
      url,
      heartbeatMs: heartbeat,
      hasModel: general.model !== undefined,
      validatesModel: general.validateModel === true,
    })
    if (!response) return fetchOnce(policy, target, ...request.replay)
    return asReceived(response, { url: responseUrl(url) })
  }
  const close = async () => {
    closed = true
    await Promise.all([validator, ...clients.values()].map((client) => client.close()))
  }
  return Object.assign(answer, { clients, close, [Symbol.asyncDispose]: close })
}

function dialectOf({ url, method }: Target) {
  return method === 'POST' ? DIALECTS.find(({ path }) => url.pathname.endsWith(path)) : undefined
}

/** A client whose first endpoint is that of the request. The request's key goes to no other endpoint. */
function clientOf(options: ClientOptions, base: string): HolySheepStreamingClient {
  return new HolySheepStreamingClient({
    ...options,
    endpoints: [{ baseUrl: base }, ...(options.endpoints ?? [])],
  } as ClientOptions)
}
