/** `ResilientStreamingClient`: the HolySheep tutorials' client that completes interrupted answers. */
import type { CallOptions, ChatRequest, ClientOptions, SmartStreamOptions, SmartStreamOutcome } from '../../../index'
import { readArguments } from '../arguments'
import { HolySheepStreamingClient } from '../client'
import { invalid, lastError, RetriesExhaustedError, StreamInterruptedError, unknownOption } from '../errors'
import { addon } from '../native'
import {
  callback,
  EVENTS,
  INTERNAL,
  type InternalOptions,
  notify,
  optionsObject,
  type WithEventListener,
} from '../options'

type Messages = ChatRequest['messages']

const MAX_ATTEMPTS = 5
const TIMEOUT_MS = 30_000
const EXHAUSTED = 'Max retries exceeded'
/** min(1000 · 2^attempt, 10000), the first after one attempt. */
const WAITS = { baseDelayMs: 2000, multiplier: 2, maxDelayMs: 10_000, jitter: 'none' } as const
/** What asking again cannot mend. */
const FINAL = ['INVALID_REQUEST', 'AUTH_FAILED', 'CONTENT_FILTERED']

export class ResilientStreamingClient extends HolySheepStreamingClient {
  lastReceivedId: string | null = null
  accumulatedContent = ''

  constructor(apiKey?: string | ClientOptions, options?: number | ClientOptions) {
    const given = readArguments(apiKey, options)
    super({ sendSessionId: 'both', ...given, retry: { ...WAITS, ...given.retry } } as ClientOptions)
  }

  async smartStreamWithRecovery(
    model: string,
    messages: Messages,
    options?: SmartStreamOptions,
  ): Promise<SmartStreamOutcome> {
    const { maxRetries, timeout, onProgress, onComplete, onError, ...others } = optionsObject(
      'options',
      options,
    ) as SmartStreamOptions
    for (const name of Object.keys(others))
      throw unknownOption(name, 'maxRetries, timeout, onProgress, onComplete, onError')
    const attempts = maxRetries ?? MAX_ATTEMPTS
    if (!Number.isInteger(attempts) || attempts < 1) throw invalid('maxRetries', maxRetries, 'a whole number from 1')
    const told = callback('onError', onError)
    const completed = callback('onComplete', onComplete)
    // The total is what ends it: neither the retries on a route nor the recoveries end before.
    const limits = {
      maxRetries: attempts,
      recovery: { mode: 'continue', maxRecoveries: attempts },
      [INTERNAL]: { maxAttempts: attempts } satisfies InternalOptions,
    }
    const run = this.#run(model, messages, this.generateSessionId(), timeout, onProgress, limits)
    try {
      await run.over
      notify('onComplete', completed, run.text)
      return { success: true, response: run.text, attempts: run.attempts }
    } catch (thrown) {
      const last = lastError(thrown)
      const outcome = { success: false as const, response: run.text, attempts: run.attempts }
      if (run.attempts < attempts || !this.isRecoverable(root(last))) {
        notify('onError', told, last)
        return { ...outcome, error: last }
      }
      notify('onError', told, new Error(EXHAUSTED, { cause: last }))
      return { ...outcome, error: EXHAUSTED, cause: last }
    }
  }

  async streamSession(
    model: string,
    messages: Messages,
    sessionId: string,
    timeout?: number,
    onProgress?: (content: string) => unknown,
  ): Promise<string> {
    const run = this.#run(model, messages, sessionId, timeout, onProgress, {
      [INTERNAL]: { singleAttempt: true } satisfies InternalOptions,
    })
    await run.over
    return run.text
  }

  buildRecoveryContext(messages: Messages, partialResponse: string): Messages {
    if (!Array.isArray(messages)) throw invalid('messages', messages, 'an array of messages')
    if (typeof partialResponse !== 'string') throw invalid('partialResponse', partialResponse, 'a string')
    return JSON.parse(addon.continuationMessages(JSON.stringify(messages), partialResponse, true))
  }

  generateSessionId(): string {
    return addon.sessionId()
  }

  isRecoverable(error: unknown): boolean {
    return !FINAL.includes((error as { code?: string } | undefined)?.code as string)
  }

  /** One call, whose text and attempts grow while it runs. Throws for invalid arguments. */
  #run(
    model: string,
    messages: Messages,
    sessionId: string,
    timeout = TIMEOUT_MS,
    onProgress: ((content: string) => unknown) | undefined,
    others: object,
  ) {
    const progress = callback('onProgress', onProgress)
    const silence = { firstTokenTimeoutMs: timeout, idleTimeoutMs: timeout }
    const run = { text: '', attempts: 0, over: Promise.resolve() }
    const callOptions = { ...silence, ...others, sessionId } as CallOptions
    const heard: WithEventListener = {
      [EVENTS](event) {
        if (event.type === 'attempt') run.attempts++
      },
    }
    const stream = this.stream({ model, messages }, { ...callOptions, ...heard })
    const read = async () => {
      for await (const chunk of stream) {
        run.text += chunk.choices[0]?.delta.content ?? ''
        this.lastReceivedId = chunk.id
        this.accumulatedContent = run.text
        const content = chunk.choices[0]?.delta.content
        if (content) await progress?.(content)
      }
    }
    run.over = read()
    return run
  }
}

/** What ended an answer, below the errors that say only that it was tried again. */
function root(error: unknown): unknown {
  const wrapped = error instanceof StreamInterruptedError || error instanceof RetriesExhaustedError
  return wrapped && error.cause ? root(error.cause) : error
}
