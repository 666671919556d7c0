/** `batchProcess` and `batchStream`: many prompts, some at a time (document 000). */
import { setMaxListeners } from 'node:events'
import type { BatchOptions, BatchProgress, BatchResult, Prompt } from '../../../index'
import { invalid } from '../errors'
import { attemptsOf, callback, nonEmpty, notify, optionsObject, splitSignal, wholeNumber } from '../options'
import { Circuit, chatClientOf, complete, PRESET, requestOf } from './prompts'
import { defined } from './shared'

const DEFAULTS = { model: 'gemini-2.5-flash', concurrency: 10 }
const MAX_ATTEMPTS = 3

type Source = Iterable<Prompt> | AsyncIterable<Prompt>

export async function batchProcess(prompts: Source, options?: BatchOptions): Promise<BatchResult[]> {
  const total = Array.isArray(prompts) ? { total: prompts.length } : {}
  const given = { ...total, ...defined(optionsObject('options', options)) }
  const done: BatchResult[] = []
  for await (const result of batchStream(prompts, given)) done[result.index] = result
  // Stopped before their turn: they have a result all the same.
  if (Array.isArray(prompts)) {
    for (let index = 0; index < prompts.length; index++) {
      done[index] ??= failed(index, options?.signal?.reason)
    }
  }
  return done
}

export function batchStream(prompts: Source, options?: BatchOptions): AsyncGenerator<BatchResult, void> {
  // Wrong arguments are told now, not when the first result is asked for.
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
  const asks = chatClientOf(client, PRESET, others, [
    'maxAttempts',
    'client',
    'concurrency',
    'total',
    'request',
    'onProgress',
    'signal',
  ])
  const circuit = new Circuit()
  const run = async (prompt: Prompt, stop: AbortSignal) =>
    complete(asks, requestOf(prompt, model, fields), attempts, stop, circuit)
  return results(iterable, run, concurrency, signal, progress(total, callback('onProgress', onProgress)))
}

/** Reads a prompt when there is a place for it: what runs and what waits to be read are `concurrency` in all. */
async function* results(
  prompts: Partial<AsyncIterable<Prompt> & Iterable<Prompt>>,
  run: (prompt: Prompt, stop: AbortSignal) => Promise<string>,
  concurrency: number,
  signal: AbortSignal | undefined,
  count: (result: BatchResult) => void,
): AsyncGenerator<BatchResult, void> {
  const source = (prompts[Symbol.asyncIterator]?.() ?? prompts[Symbol.iterator]?.()) as AsyncIterator<Prompt>
  const stop = new AbortController()
  // Every call that runs listens to it.
  setMaxListeners(0, stop.signal)
  const ready: BatchResult[] = []
  let running = 0
  let index = 0
  let exhausted = false
  let fault: { error: unknown } | undefined
  let reading = false
  let left = false
  let wake = () => {}
  const onAbort = () => {
    exhausted = true
    stop.abort(signal?.reason)
    wake()
  }
  if (signal?.aborted) onAbort()
  else signal?.addEventListener('abort', onAbort, { once: true })

  const one = async (at: number, prompt: Prompt) => {
    let result: BatchResult
    try {
      result = { index: at, success: true, result: await run(prompt, stop.signal) }
    } catch (error) {
      result = failed(at, error)
    }
    running--
    // Nobody listens any more.
    if (!left) count(result)
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
          void one(index++, value)
        }
      }
    } catch (error) {
      fault = { error }
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
      if (fault) throw fault.error
      if (exhausted && running === 0) return
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    exhausted = left = true
    // The reader has left, or all is done: what runs is nobody's.
    stop.abort()
    // A source that waits in `next()` answers when it likes: nobody waits for it here.
    Promise.resolve(source.return?.()).catch(() => {})
  }
}

function failed(index: number, cause: unknown): BatchResult {
  return { index, success: false, error: cause instanceof Error ? cause.message : String(cause), cause }
}

/** Counts results and tells how it goes. */
function progress(total: number | undefined, onProgress: ((progress: BatchProgress) => void) | undefined) {
  const started = performance.now()
  const counts = { done: 0, succeeded: 0, failed: 0 }
  return (result: BatchResult) => {
    counts.done++
    counts[result.success ? 'succeeded' : 'failed']++
    if (!onProgress) return
    const elapsedMs = performance.now() - started
    const left = total === undefined ? {} : { total, estimatedMsLeft: remaining(elapsedMs, counts.done, total) }
    notify('onProgress', onProgress, { ...counts, elapsedMs, ...left })
  }
}

/** As long for each of the rest as for each so far. */
const remaining = (elapsedMs: number, done: number, total: number) => (elapsedMs / done) * Math.max(0, total - done)
