/** `handleConnectionReset`: what document 002 does about an ECONNRESET. */
import type { ChatRequest } from '../../../index'
import { invalid } from '../errors'
import { addon } from '../native'
import { splitSignal } from '../options'
import { pause } from './shared'

/** The wait is random between these, in milliseconds. */
const MIN_MS = 1000
const MAX_MS = 3000

type Resettable = Partial<ChatRequest> & { partialResponse?: string }

/** The messages that a request had before it first asked for the rest of an answer. */
const originals = new WeakMap<object, { asked: unknown; before: unknown }>()

export async function handleConnectionReset(
  error: unknown,
  request: Resettable,
  attempt: number,
  maxAttempts: number,
  options?: { signal?: AbortSignal },
): Promise<boolean> {
  const { signal } = splitSignal(options)
  if (typeof request !== 'object' || request === null) throw invalid('request', request, 'an object')
  for (const [name, value] of Object.entries({ attempt, maxAttempts })) {
    if (typeof value !== 'number' || Number.isNaN(value)) throw invalid(name, value, 'a number')
  }
  const { code, cause, partial } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown }; partial?: unknown }
  if (code !== 'ECONNRESET' && cause?.code !== 'ECONNRESET') return false
  if (attempt >= maxAttempts) return false
  const received = request.partialResponse || (typeof partial === 'string' ? partial : '')
  await pause(MIN_MS + Math.random() * (MAX_MS - MIN_MS), signal)
  if (received !== '' && Array.isArray(request.messages)) askForTheRest(request, received)
  return true
}

/** Turns the request into one for the rest of what was received. A second reset replaces the first's question. */
function askForTheRest(request: Resettable, received: string) {
  const known = originals.get(request)
  const before = known && known.asked === request.messages ? known.before : request.messages
  request.partialResponse = received
  request.messages = JSON.parse(addon.continuationMessages(JSON.stringify(before), received))
  originals.set(request, { asked: request.messages, before })
}
