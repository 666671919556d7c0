/** One prompt of a batch or a queue, to its end: an open circuit is waited for, and counts as no attempt. */
import type { CallOptions, ChatCompletion, ChatMessage, ChatRequest, ClientOptions, Prompt } from '../../../index'
import { CircuitOpenError, HolySheepError, invalid, lastError } from '../errors'
import { EVENTS, type WithEventListener } from '../options'
import { clientOf } from './shared'

/** The breaker of document 000. */
export const BREAKER = { failureThreshold: 5, openMs: 30_000 }
/** The longest wait between two attempts, and between two looks at an open circuit, in milliseconds. */
export const MAX_WAIT_MS = 32_000
/** The first wait for a circuit that does not say when it is due, in milliseconds. */
const FIRST_WAIT_MS = 100

/** What is needed of a client. */
export interface ChatClient {
  chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion>
}

/** A client's options for prompts, where the caller says nothing else. */
export const PRESET: ClientOptions = {
  circuitBreaker: BREAKER,
  retry: { maxDelayMs: MAX_WAIT_MS },
  // Each prompt has its attempts, and nobody waits for it: a budget would fail prompts for their neighbours.
  retryBudget: false,
}

/** The caller's own client, or one that is made of the options. */
export function chatClientOf(own: unknown, preset: ClientOptions, options: object, also: string[]): ChatClient {
  if (own === undefined) return clientOf(undefined, preset, options, also)
  if (typeof (own as ChatClient | null)?.chat !== 'function') throw invalid('client', own, 'a client')
  const [beside] = Object.keys(options)
  if (beside !== undefined) throw invalid(beside, (options as never)[beside], 'nothing beside a client of your own')
  return own as ChatClient
}

export function requestOf(prompt: Prompt, model: string, fields: object | undefined): ChatRequest {
  const messages: ReadonlyArray<ChatMessage | object> =
    typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt
  if (!Array.isArray(messages)) throw invalid('prompt', prompt, 'a string or an array of messages')
  return { model, ...fields, messages }
}

/** Prompts of one batch that wait for its circuit: the success of any of them wakes the others. */
export class Circuit {
  readonly #waiting = new Set<() => void>()

  wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const over = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        this.#waiting.delete(wake)
      }
      const wake = () => {
        over()
        resolve()
      }
      const abort = () => {
        over()
        reject(signal?.reason)
      }
      const timer = setTimeout(wake, ms)
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiting.add(wake)
    })
  }

  closed() {
    for (const wake of [...this.#waiting]) wake()
  }
}

/** Told when a prompt begins to wait, and when it goes on. */
export interface Turns {
  idle(): void
  busy(): void
}

/**
 * Resolves to the text of the answer. `maxAttempts` counts real attempts; the error at the end has them all.
 */
export async function complete(
  client: ChatClient,
  request: ChatRequest,
  maxAttempts: number,
  signal: AbortSignal | undefined,
  circuit: Circuit,
  turns?: Turns,
): Promise<string> {
  const made: HolySheepError['attempts'] = []
  const heard: WithEventListener = turns ? { [EVENTS]: following(turns) } : {}
  for (let refusals = 0; ; refusals++) {
    const options = { maxRetries: Math.max(0, maxAttempts - 1 - made.length), ...(signal && { signal }), ...heard }
    try {
      const completion = await client.chat(request, options)
      circuit.closed()
      return completion.choices[0]?.message.content ?? ''
    } catch (thrown) {
      if (!(thrown instanceof HolySheepError)) throw thrown
      const error = lastError(thrown) as HolySheepError & Error
      for (const record of thrown.attempts ?? []) made.push({ ...record, attempt: made.length + 1 })
      const cause = thrown instanceof CircuitOpenError ? thrown.cause : undefined
      const spent = made.length >= maxAttempts && cause instanceof Error
      if (!(thrown instanceof CircuitOpenError) || spent) throw Object.assign(spent ? cause : error, { attempts: made })
      if (thrown.attempts.length > 0) refusals = 0
      const wait = Math.max(thrown.retryAfterMs ?? 0, FIRST_WAIT_MS * 2 ** Math.min(refusals, 16))
      turns?.idle()
      try {
        await circuit.wait(Math.min(wait, MAX_WAIT_MS), signal)
      } finally {
        turns?.busy()
      }
    }
  }
}

/** Idle from the wait before a retry to the attempt after it. */
function following(turns: Turns): WithEventListener[typeof EVENTS] {
  let idle = false
  const go = () => {
    if (idle) turns.busy()
    idle = false
  }
  return (event) => {
    if (event.type === 'attempt' || event.type === 'failed') go()
    else if (event.type === 'wait' && !idle && (event.reason === 'backoff' || event.reason === 'retry-after')) {
      idle = true
      turns.idle()
    }
  }
}
