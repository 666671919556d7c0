/** `batchProcess` and `batchStream` of tutorial 000: many prompts with bounded concurrency. */
import type { BatchOptions, BatchProgress, BatchResult, Prompt } from '../../../index'
import { allowAnyListeners } from '../call-handle'
import { invalid } from '../errors'
import { attemptsOf, callback, nonEmpty, notify, optionsObject, splitSignal, wholeNumber } from '../options'
import { bare } from '../own'
import { now } from '../timers'
import { CircuitWaiters, chatClientOf, complete, DEFAULT_OPTIONS, requestOf } from './prompts'
import { defined } from './shared'

const DEFAULTS = { model: 'gemini-2.5-flash', concurrency: 10 }
const MAX_ATTEMPTS = 3

type PromptSource = Iterable<Prompt> | AsyncIterable<Prompt>

export async function batchProcess(prompts: PromptSource, options?: BatchOptions): Promise<BatchResult[]> {
  const total = Array.isArray(prompts) ? { total: prompts.length } : {}
  const merged = bare({ ...total, ...defined(optionsObject('options', options)) })
  const finished: BatchResult[] = []
  for await (const result of batchStream(prompts, merged)) finished[result.index] = result
  // Prompts that did not start because of an abort have a result too.
  if (Array.isArray(prompts)) {
    for (let index = 0; index < prompts.length; index++) {
      finished[index] ??= failed(index, options?.signal?.reason)
    }
  }
  return finished
}

export function batchStream(prompts: PromptSource, options?: BatchOptions): AsyncGenerator<BatchResult, void> {
  // Invalid arguments throw here, and not when the first result is read.
  const iterable = prompts as Partial<AsyncIterable<Prompt> & Iterable<Prompt>>
  if (typeof prompts === 'string' || !(iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator])) {
    throw invalid('prompts', prompts, 'an array or an (async) iterable of prompts')
  }
  const { signal, rest } = splitSignal(options)
  const { client, concurrency, maxRetries, maxAttempts, model, total, request, onProgress, ...others } = {
    ...DEFAULTS,
    ...defined(rest),
  } as typeof DEFAULTS & BatchOptions
  wholeNumber('concurrency', concurrency, 1)
  const attempts = attemptsOf({ maxRetries, maxAttempts }, MAX_ATTEMPTS)
  if (total !== undefined) wholeNumber('total', total, 0)
  nonEmpty('model', model, "a model's name")
  const fields = optionsObject('request', request)
  const chatClient = chatClientOf(client, DEFAULT_OPTIONS, others, [
    'maxAttempts',
    'client',
    'concurrency',
    'total',
    'request',
    'onProgress',
    'signal',
  ])
  const circuit = new CircuitWaiters()
  const run = async (prompt: Prompt, stop: AbortSignal) =>
    complete(chatClient, requestOf(prompt, model, fields), attempts, stop, circuit)
  return results(iterable, run, concurrency, signal, progressCounter(total, callback('onProgress', onProgress)))
}

/** Reads prompts so that running calls and unread results are at most `concurrency` in total. */
async function* results(
  prompts: Partial<AsyncIterable<Prompt> & Iterable<Prompt>>,
  run: (prompt: Prompt, stop: AbortSignal) => Promise<string>,
  concurrency: number,
  signal: AbortSignal | undefined,
  count: (result: BatchResult) => void,
): AsyncGenerator<BatchResult, void> {
  const source = (prompts[Symbol.asyncIterator]?.() ?? prompts[Symbol.iterator]?.()) as AsyncIterator<Prompt>
  const stop = new AbortController()
  allowAnyListeners(stop.signal)
  const ready: BatchResult[] = []
  let running = 0
  let index = 0
  let exhausted = false
  let sourceFailure: { error: unknown } | undefined
  let reading = false
  let readerLeft = false
  let wake = () => {}
  const onAbort = () => {
    exhausted = true
    stop.abort(signal?.reason)
    wake()
  }
  if (signal?.aborted) onAbort()
  else signal?.addEventListener('abort', onAbort, bare({ once: true }))

  const runOne = async (at: number, prompt: Prompt) => {
    let result: BatchResult
    try {
      result = { index: at, success: true, result: await run(prompt, stop.signal) }
    } catch (error) {
      result = failed(at, error)
    }
    running--
    if (!readerLeft) count(result)
    ready.push(result)
    wake()
    void read()
  }
  const read = async () => {
    if (reading) return
    reading = true
    try {
      while (!exhausted && running + ready.length < concurrency) {
        const { done, value } = await source.next()
        if (done) exhausted = true
        else if (!exhausted) {
          running++
          void runOne(index++, value)
        }
      }
    } catch (error) {
      sourceFailure = { error }
      exhausted = true
      stop.abort(error)
    } finally {
      reading = false
      wake()
    }
  }
  try {
    for (;;) {
      void read()
      const result = ready.shift()
      if (result) {
        yield result
        continue
      }
      if (sourceFailure) throw sourceFailure.error
      if (exhausted && running === 0) return
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    exhausted = readerLeft = true
    // If the reader has left, the results of running calls are not needed.
    stop.abort()
    // Not awaited: `return()` of a source with a pending `next()` may take forever.
    Promise.resolve(source.return?.()).catch(() => {})
  }
}

function failed(index: number, cause: unknown): BatchResult {
  return { index, success: false, error: cause instanceof Error ? cause.message : String(cause), cause }
}

/** Counts results and reports the progress. */
function progressCounter(total: number | undefined, onProgress: ((progress: BatchProgress) => void) | undefined) {
  const started = now()
  const counts = { done: 0, succeeded: 0, failed: 0 }
  return (result: BatchResult) => {
    counts.done++
    counts[result.success ? 'succeeded' : 'failed']++
    if (!onProgress) return
    const elapsedMs = now() - started
    const estimate = total === undefined ? {} : { total, estimatedMsLeft: remainingMs(elapsedMs, counts.done, total) }
    notify('onProgress', onProgress, { ...counts, elapsedMs, ...estimate })
  }
}

/** Assumes the mean time so far for each remaining prompt. */
const remainingMs = (elapsedMs: number, done: number, total: number) => (elapsedMs / done) * Math.max(0, total - done)
