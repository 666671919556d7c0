/** `ResilientStreamingClient` of tutorial 002: completes interrupted answers. */
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
import { stringify } from '../own'

type Messages = ChatRequest['messages']

const MAX_ATTEMPTS = 5
const TIMEOUT_MS = 30_000
const EXHAUSTED = 'Max retries exceeded'
/** min(1000 · 2^attempt, 10000), where the first wait follows attempt 1. */
const RETRY_DEFAULTS = { baseDelayMs: 2000, multiplier: 2, maxDelayMs: 10_000, jitter: 'none' } as const
/** The codes of errors that are not retryable. */
const UNRECOVERABLE = ['INVALID_REQUEST', 'AUTH_FAILED', 'CONTENT_FILTERED']

export class ResilientStreamingClient extends HolySheepStreamingClient {
  lastReceivedId: string | null = null
  accumulatedContent = ''

  constructor(apiKey?: string | ClientOptions, options?: number | ClientOptions) {
    const merged = readArguments(apiKey, options)
    super({ sendSessionId: 'both', ...merged, retry: { ...RETRY_DEFAULTS, ...merged.retry } } as ClientOptions)
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
    const errorCallback = callback('onError', onError)
    const completeCallback = callback('onComplete', onComplete)
    // High enough that only the total number of attempts ends the call.
    const limits = {
      maxRetries: attempts,
      recovery: { mode: 'continue', maxRecoveries: attempts },
      [INTERNAL]: { maxAttempts: attempts, mirrored: true } satisfies InternalOptions,
    }
    const run = this.#run(model, messages, this.generateSessionId(), timeout, onProgress, limits)
    try {
      await run.finished
      notify('onComplete', completeCallback, run.text)
      return { success: true, response: run.text, attempts: run.attempts }
    } catch (thrown) {
      const last = lastError(thrown)
      const outcome = { success: false as const, response: run.text, attempts: run.attempts }
      if (run.attempts < attempts || !this.isRecoverable(rootCause(last))) {
        notify('onError', errorCallback, last)
        return { ...outcome, error: last }
      }
      notify('onError', errorCallback, new Error(EXHAUSTED, { cause: last }))
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
    await run.finished
    return run.text
  }

  buildRecoveryContext(messages: Messages, partialResponse: string): Messages {
    if (!Array.isArray(messages)) throw invalid('messages', messages, 'an array of messages')
    if (typeof partialResponse !== 'string') throw invalid('partialResponse', partialResponse, 'a string')
    return JSON.parse(addon.continuationMessages(stringify(messages) as string, partialResponse, true))
  }

  generateSessionId(): string {
    return addon.sessionId()
  }

  isRecoverable(error: unknown): boolean {
    return !UNRECOVERABLE.includes((error as { code?: string } | undefined)?.code as string)
  }

  /** Runs one call, and updates its text and attempts as it runs. Throws for invalid arguments. */
  #run(
    model: string,
    messages: Messages,
    sessionId: string,
    timeout = TIMEOUT_MS,
    onProgress: ((content: string) => unknown) | undefined,
    extra: object,
  ) {
    const progress = callback('onProgress', onProgress)
    const timeouts = { firstTokenTimeoutMs: timeout, idleTimeoutMs: timeout }
    const run = { text: '', attempts: 0, finished: Promise.resolve() }
    const callOptions = { ...timeouts, ...extra, sessionId } as CallOptions
    const listener: WithEventListener = {
      [EVENTS](event) {
        if (event.type === 'attempt') run.attempts++
      },
    }
    const stream = this.stream({ model, messages }, { ...callOptions, ...listener })
    const read = async () => {
      for await (const chunk of stream) {
        run.text += chunk.choices[0]?.delta.content ?? ''
        this.lastReceivedId = chunk.id
        this.accumulatedContent = run.text
        const content = chunk.choices[0]?.delta.content
        if (content) await progress?.(content)
      }
    }
    run.finished = read()
    return run
  }
}

/** The error that ended an answer, without the errors that wrap it after retries and recoveries. */
function rootCause(error: unknown): unknown {
  const wrapped = error instanceof StreamInterruptedError || error instanceof RetriesExhaustedError
  return wrapped && error.cause ? rootCause(error.cause) : error
}
