/** `BoundedRetryQueue` of tutorial 000: tasks with a bounded number of attempts, in a bounded queue. */
import type { Prompt, QueueOptions, QueueResult } from '../../../index'
import { allowAnyListeners } from '../call-handle'
import { invalid, QueueFullError } from '../errors'
import { attemptsOf, nonEmpty, optionsObject, splitSignal, wholeNumber } from '../options'
import { bare } from '../own'
import { type ChatClient, CircuitWaiters, chatClientOf, complete, DEFAULT_OPTIONS, requestOf } from './prompts'
import { defined } from './shared'

interface Task {
  prompt: Prompt
  /** The reader that runs the task, or has finished it. */
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
  /** The unfinished tasks by id, in order of arrival. */
  readonly #tasks = new Map<string, Task>()
  /** The unread results. Their tasks still count toward `maxSize`. */
  readonly #ready: QueueResult[] = []
  #reading = false
  #arrived = () => {}

  constructor(maxRetries?: number | QueueOptions, maxSize?: number, options?: QueueOptions) {
    const merged =
      typeof maxRetries === 'object' && maxRetries !== null
        ? optionsObject('options', maxRetries)
        : { ...optionsObject('options', options), ...defined({ maxRetries, maxSize }) }
    const { client, request, concurrency, model, ...rest } = bare({
      ...DEFAULTS,
      ...defined(merged),
    }) as typeof DEFAULTS & QueueOptions
    this.maxRetries = attemptsOf(rest, MAX_ATTEMPTS)
    this.maxSize = wholeNumber('maxSize', rest.maxSize, 1)
    this.#concurrency = wholeNumber('concurrency', concurrency, 1)
    this.#model = nonEmpty('model', model, "a model's name")
    this.#request = optionsObject('request', request)
    const { maxRetries: _retries, maxAttempts: _attempts, maxSize: _size, ...others } = rest
    // Limits attempts too, because tasks that return from a wait exceed `concurrency`.
    const limits = { maxConcurrent: this.#concurrency, maxQueue: this.maxSize }
    this.#client = chatClientOf(client, { ...DEFAULT_OPTIONS, ...limits }, others, [
      'maxAttempts',
      'maxSize',
      'concurrency',
      'client',
      'request',
    ])
  }

  /** The number of unfinished tasks. */
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
    allowAnyListeners(stop.signal)
    const circuit = new CircuitWaiters()
    const ready = this.#ready
    let active = 0
    let wake = () => {}
    const abort = () => stop.abort(signal?.reason)
    signal?.addEventListener('abort', abort, bare({ once: true }))
    stop.signal.addEventListener('abort', () => wake(), bare({ once: true }))
    const waitListener = {
      // While a task waits for its retry, another one may run.
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
        const response = await complete(this.#client, request, this.maxRetries, stop.signal, circuit, waitListener)
        // Unless the next reader already runs the task again.
        if (task.reader === undefined || task.reader === stop) {
          task.reader = stop
          ready.push({ taskId, response })
          this.#arrived()
        }
      } catch (cause) {
        // A task that was stopped has not failed, and stays in the queue.
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
        // Unread results count toward the concurrency.
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
      // Stops running tasks, which the next reader runs again.
      if (!stop.signal.aborted) stop.abort()
      const finished = new Set(ready.map(({ taskId }) => taskId))
      for (const [taskId, task] of this.#tasks) if (!finished.has(taskId)) task.reader = undefined
    }
  }
}
