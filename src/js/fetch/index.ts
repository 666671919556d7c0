/** `holysheep/fetch`: a WHATWG `fetch` that runs on the engine. */
import type { FetchOptions, HolySheepFetch } from '../../../fetch'
import type { ClientOptions } from '../../../index'
import { HolySheepStreamingClient } from '../client'
import { fromRecord, invalid, unknownOption } from '../errors'
import { callback, optionsObject, wholeMs } from '../options'
import { HEARTBEAT_MS } from '../web'
import { chat, type Terms } from './chat'
import { passed } from './passthrough'
import { once, pass, policyOf } from './platform-fetch'
import { look, read, type Target } from './request'

/**
 * What the engine speaks, by the end of a request's path: one row a dialect. What is in no row goes to the platform's
 * own `fetch`.
 */
const DIALECTS: ReadonlyArray<{ path: string; answer(terms: Terms): Promise<Response | undefined> }> = [
  { path: '/chat/completions', answer: chat },
  { path: '/responses', answer: passed('responses') },
  { path: '/messages', answer: passed('messages') },
]

/** The most base URLs whose clients are kept; beyond it the one that was not used for longest is let go. */
const MAX_CLIENTS = 64

/** Options of a client that a request says itself, or that have no meaning here. A probe would have no key. */
const NOT_HERE = ['baseUrl', 'signal', 'coalesce', 'idempotencyKey', 'sessionId', 'healthCheckMs']

export function createFetch(options?: FetchOptions): HolySheepFetch {
  const { heartbeatMs, fetch: given, ...general } = optionsObject('options', options) as FetchOptions
  for (const name of NOT_HERE) {
    if (name in general)
      throw unknownOption(name, 'the other options of a client; base URL, key and signal are the request’s')
  }
  if (typeof general.recovery === 'object' && general.recovery?.mode === 'restart') {
    throw invalid('recovery.mode', 'restart', "'continue' or 'fail': what an SDK was handed cannot be taken back")
  }
  const beat = wholeMs('heartbeatMs', heartbeatMs ?? HEARTBEAT_MS)
  const platform = callback('fetch', given) ?? ((input, init) => globalThis.fetch(input, init))
  // Wrong options are told now. It also judges what is passed on, and is asked for nothing else.
  const endpoints = general.endpoints ?? [{ name: 'none', baseUrl: 'http://localhost' }]
  const judge = new HolySheepStreamingClient({ ...general, endpoints } as ClientOptions)
  const policy = policyOf(general, platform, judge)
  const clients = new Map<string, HolySheepStreamingClient>()
  let closed = false

  const clientFor = (base: string) => {
    const client = clients.get(base) ?? clientOf(general, base)
    // The last one is the one that was used last. One that is let go ends what it has begun.
    clients.delete(base)
    clients.set(base, client)
    if (clients.size > MAX_CLIENTS) clients.delete(clients.keys().next().value as string)
    return client
  }

  const answer = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    if (closed) throw fromRecord({ class: 'HolySheepError', code: 'CLIENT_CLOSED', message: 'this fetch was closed' })
    const target = look(input, init)
    const dialect = target && dialectOf(target)
    if (!dialect) return pass(policy, target, input, init)
    const { url } = target
    const asked = await read(input, init)
    const response = await dialect.answer({
      client: clientFor(`${url.origin}${url.pathname.slice(0, -dialect.path.length)}`),
      asked,
      url,
      heartbeatMs: beat,
      hasModel: general.model !== undefined,
      validatesModel: general.validateModel === true,
    })
    if (!response) return once(policy, ...asked.again)
    return Object.defineProperty(response, 'url', { value: url.href })
  }
  const close = async () => {
    closed = true
    await Promise.all([judge, ...clients.values()].map((client) => client.close()))
  }
  return Object.assign(answer, { clients, close, [Symbol.asyncDispose]: close })
}

function dialectOf({ url, method }: Target) {
  return method === 'POST' ? DIALECTS.find(({ path }) => url.pathname.endsWith(path)) : undefined
}

/** A client whose first endpoint is the request's. The request brings its key, and it goes nowhere else. */
function clientOf(options: ClientOptions, base: string): HolySheepStreamingClient {
  return new HolySheepStreamingClient({
    ...options,
    endpoints: [{ baseUrl: base }, ...(options.endpoints ?? [])],
  } as ClientOptions)
}
