/** `handleConnectionReset` of tutorial 002: prepares the retry of a call after an ECONNRESET. */
import type { ChatRequest } from '../../../index'
import { invalid } from '../errors'
import { addon } from '../native'
import { splitSignal } from '../options'
import { stringify } from '../own'
import { fakeableWait } from '../sleep'

/** The bounds of the random wait, in milliseconds. */
const MIN_WAIT_MS = 1000
const MAX_WAIT_MS = 3000

type RetryableRequest = Partial<ChatRequest> & { partialResponse?: string }

/** The continuation messages of a request, and its messages before the first reset. */
const originals = new WeakMap<object, { continuation: unknown; original: unknown }>()

export async function handleConnectionReset(
  error: unknown,
  request: RetryableRequest,
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
  await fakeableWait(MIN_WAIT_MS + Math.random() * (MAX_WAIT_MS - MIN_WAIT_MS), signal)
  if (received !== '' && Array.isArray(request.messages)) continueFrom(request, received)
  return true
}

/** Makes the request continue the partial answer. A second reset replaces the continuation of the first. */
function continueFrom(request: RetryableRequest, received: string) {
  const known = originals.get(request)
  const original = known && known.continuation === request.messages ? known.original : request.messages
  request.partialResponse = received
  request.messages = JSON.parse(addon.continuationMessages(stringify(original) as string, received))
  originals.set(request, { continuation: request.messages, original })
}
