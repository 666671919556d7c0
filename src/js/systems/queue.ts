/** `BoundedRetryQueue` of document 000: tasks with a bounded number of attempts, in a bounded queue. */
import { setMaxListeners } from 'node:events'
import type { Prompt, QueueOptions, QueueResult } from '../../../index'
import { invalid, QueueFullError } from '../errors'
import { attemptsOf, nonEmpty, optionsObject, splitSignal, wholeNumber } from '../options'
import { type ChatClient, Circuit, chatClientOf, complete, PRESET, requestOf } from './prompts'
import { defined } from './shared'

interface Task {
  prompt: Prompt
  /** The reader that works on it, or that has brought it to its end. */
  reader?: object
}

const MAX_ATTEMPTS = 3
const DEFAULTS = { maxSize: 1000, concurrency: 10, model: 'gpt-4.1' }

export class BoundedRetryQueue {
  readonly maxRetries: number
  readonly maxSize: number
  readonly #client: ChatClient
  readonly #concurrency: number
  readonly #model: string
  readonly #request: object
  /** What is not finished, by id, in order of arrival. */
  readonly #tasks = new Map<string, Task>()
  /** Results that nobody has read yet; their tasks hold their places. */
  readonly #ready: QueueResult[] = []
  #reading = false
  #arrived = () => {}

  constructor(maxRetries?: number | QueueOptions, maxSize?: number, options?: QueueOptions) {
    const given =
      typeof maxRetries === 'object' && maxRetries !== null
        ? optionsObject('options', maxRetries)
        : { ...optionsObject('options', options), ...defined({ maxRetries, maxSize }) }
    const { client, request, concurrency, model, ...rest } = { ...DEFAULTS, ...defined(given) } as typeof DEFAULTS &
      QueueOptions
    this.maxRetries = attemptsOf(rest, MAX_ATTEMPTS)
    this.maxSize = wholeNumber('maxSize', rest.maxSize, 1)
    this.#concurrency = wholeNumber('concurrency', concurrency, 1)
    this.#model = nonEmpty('model', model, "a model's name")
    this.#request = optionsObject('request', request)
    const { maxRetries: _retries, maxAttempts: _attempts, maxSize: _size, ...others } = rest
    // No more attempts at a time, also when tasks come back from their waits.
    const limits = { maxConcurrent: this.#concurrency, maxQueue: this.maxSize }
    this.#client = chatClientOf(client, { ...PRESET, ...limits }, others, [
      'maxAttempts',
      'maxSize',
      'concurrency',
      'client',
      'request',
    ])
  }

  /** Tasks that are not finished. */
  get size(): number {
    return this.#tasks.size
  }

  async addTask(taskId: string, prompt: Prompt): Promise<void> {
    if (typeof taskId !== 'string' || taskId === '') throw invalid('taskId', taskId, 'a string')
    requestOf(prompt, this.#model, this.#request)
    if (this.#tasks.has(taskId)) throw invalid('taskId', taskId, 'an id that is not in the queue')
    if (this.#tasks.size >= this.maxSize) {
      const error = new QueueFullError('Queue is full, cannot add more tasks')
      throw Object.assign(error, { code: 'QUEUE_FULL' })
    }
    this.#tasks.set(taskId, { prompt })
    this.#arrived()
  }

  async *processWithRetry(options?: { signal?: AbortSignal }): AsyncGenerator<QueueResult, void> {
    const { signal } = splitSignal(options)
    signal?.throwIfAborted()
    if (this.#reading) throw invalid('processWithRetry', undefined, 'one reader at a time', 'a second reader')
    this.#reading = true
    const stop = new AbortController()
    // Every call that runs listens to it.
    setMaxListeners(0, stop.signal)
    const circuit = new Circuit()
    const ready = this.#ready
    let active = 0
    let wake = () => {}
    const abort = () => stop.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    stop.signal.addEventListener('abort', () => wake(), { once: true })
    const turns = {
      // One that waits for its retry makes room for the others.
      idle() {
        active--
        pump()
      },
      busy() {
        active++
      },
    }
    const work = async (taskId: string, task: Task) => {
      task.reader = stop
      active++
      const request = requestOf(task.prompt, this.#model, this.#request)
      try {
        const response = await complete(this.#client, request, this.maxRetries, stop.signal, circuit, turns)
        // Unless the next reader has taken it over meanwhile.
        if (task.reader === undefined || task.reader === stop) {
          task.reader = stop
          ready.push({ taskId, response })
          this.#arrived()
        }
      } catch (cause) {
        // Stopped, not failed: it stays in the queue.
        if (!stop.signal.aborted)
          ready.push({ taskId, error: cause instanceof Error ? cause.message : String(cause), cause })
      }
      active--
      wake()
      pump()
    }
    const pump = () => {
      if (stop.signal.aborted) return
      for (const [taskId, task] of this.#tasks) {
        // Finished ones that nobody has read hold their places.
        if (active + ready.length >= this.#concurrency) break
        if (!task.reader) void work(taskId, task)
      }
    }
    this.#arrived = () => {
      pump()
      wake()
    }
    try {
      for (;;) {
        pump()
        const result = ready.shift()
        if (result) {
          this.#tasks.delete(result.taskId)
          yield result
          continue
        }
        if (stop.signal.aborted) throw stop.signal.reason
        if (this.#tasks.size === 0) return
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#arrived = () => {}
      this.#reading = false
      // The reader has left: what runs ends, and its tasks wait for the next reader.
      if (!stop.signal.aborted) stop.abort()
      const finished = new Set(ready.map(({ taskId }) => taskId))
      for (const [taskId, task] of this.#tasks) if (!finished.has(taskId)) task.reader = undefined
    }
  }
}
