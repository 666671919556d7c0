/** Completes one prompt of a batch or queue. It waits while the circuit is open, which does not count as an attempt. */
import type { CallOptions, ChatCompletion, ChatMessage, ChatRequest, ClientOptions, Prompt } from '../../../index'
import { CircuitOpenError, HolySheepError, invalid, lastError } from '../errors'
import { EVENTS, INTERNAL, type InternalOptions, type WithEventListener } from '../options'
import { bare } from '../own'
import { clearTimeout, setTimeout } from '../timers'
import { clientOf } from './shared'

/** The breaker of tutorial 000. */
export const BREAKER = { failureThreshold: 5, openMs: 30_000 }
/** The maximum wait between attempts, and between calls while the circuit is open, in milliseconds. */
export const MAX_WAIT_MS = 32_000
/** The first wait for an open circuit that does not say when it is going to close, in milliseconds. */
const MIN_WAIT_MS = 100

/** The part of a client that prompts need. */
export interface ChatClient {
  chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion>
}

/** The default client options for prompts. */
export const DEFAULT_OPTIONS: ClientOptions = {
  circuitBreaker: BREAKER,
  retry: { maxDelayMs: MAX_WAIT_MS },
  // The attempts of each prompt are bounded. A shared budget would fail prompts because of others.
  retryBudget: false,
}

/** The caller's client, or a new one with the options. */
export function chatClientOf(
  client: unknown,
  defaults: ClientOptions,
  options: object,
  alsoAccepted: string[],
): ChatClient {
  if (client === undefined) return clientOf(undefined, defaults, options, alsoAccepted)
  if (typeof (client as ChatClient | null)?.chat !== 'function') throw invalid('client', client, 'a client')
  const [option] = Object.keys(options)
  if (option !== undefined)
    throw invalid(option, (options as never)[option], 'no client options together with `client`')
  return client as ChatClient
}

export function requestOf(prompt: Prompt, model: string, fields: object | undefined): ChatRequest {
  const messages: ReadonlyArray<ChatMessage | object> =
    typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt
  if (!Array.isArray(messages)) throw invalid('prompt', prompt, 'a string or an array of messages')
  return { model, ...fields, messages }
}

/** The prompts of a batch that wait for an open circuit. The success of any prompt wakes the others. */
export class CircuitWaiters {
  readonly #wakers = new Set<() => void>()

  wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        this.#wakers.delete(wake)
      }
      const wake = () => {
        stop()
        resolve()
      }
      const abort = () => {
        stop()
        reject(signal?.reason)
      }
      const timer = setTimeout(wake, ms)
      signal?.addEventListener('abort', abort, bare({ once: true }))
      this.#wakers.add(wake)
    })
  }

  wakeAll() {
    for (const wake of [...this.#wakers]) wake()
  }
}

/** Called when a prompt begins to wait, and when it continues. */
export interface WaitListener {
  idle(): void
  busy(): void
}

/** Resolves to the text of the answer. Rejected calls do not count toward `maxAttempts`. The error has all attempts. */
export async function complete(
  client: ChatClient,
  request: ChatRequest,
  maxAttempts: number,
  signal: AbortSignal | undefined,
  circuit: CircuitWaiters,
  waitListener?: WaitListener,
): Promise<string> {
  const attempts: HolySheepError['attempts'] = []
  const listener: WithEventListener = waitListener ? { [EVENTS]: reportWaits(waitListener) } : {}
  for (let rejections = 0; ; rejections++) {
    const options = {
      maxRetries: Math.max(0, maxAttempts - 1 - attempts.length),
      ...(signal && { signal }),
      ...listener,
      [INTERNAL]: { mirrored: true } satisfies InternalOptions,
    }
    try {
      const completion = await client.chat(request, options)
      circuit.wakeAll()
      return completion.choices[0]?.message.content ?? ''
    } catch (thrown) {
      if (!(thrown instanceof HolySheepError)) throw thrown
      const error = lastError(thrown) as HolySheepError & Error
      for (const record of thrown.attempts ?? []) attempts.push({ ...record, attempt: attempts.length + 1 })
      const cause = thrown instanceof CircuitOpenError ? thrown.cause : undefined
      const exhausted = attempts.length >= maxAttempts && cause instanceof Error
      if (!(thrown instanceof CircuitOpenError) || exhausted)
        throw Object.assign(exhausted ? cause : error, { attempts })
      if (thrown.attempts.length > 0) rejections = 0
      const wait = Math.max(thrown.retryAfterMs ?? 0, MIN_WAIT_MS * 2 ** Math.min(rejections, 16))
      waitListener?.idle()
      try {
        await circuit.wait(Math.min(wait, MAX_WAIT_MS), signal)
      } finally {
        waitListener?.busy()
      }
    }
  }
}

/** An event listener: a prompt is idle from the wait before a retry until the next attempt. */
function reportWaits(waitListener: WaitListener): WithEventListener[typeof EVENTS] {
  let idle = false
  const resume = () => {
    if (idle) waitListener.busy()
    idle = false
  }
  return (event) => {
    if (event.type === 'attempt' || event.type === 'failed') resume()
    else if (event.type === 'wait' && !idle && (event.reason === 'backoff' || event.reason === 'retry-after')) {
      idle = true
      waitListener.idle()
    }
  }
}
