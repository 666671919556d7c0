/** Batches and queues of prompts. */
import type { CallOptions } from '../call-options.js'
import type { ChatCompletion, ChatMessage, ChatRequest } from '../chat.js'
import type { ClientOptions } from '../client-options.js'

/** A user message, or a conversation. */
export type Prompt = string | ReadonlyArray<ChatMessage | object>

export interface BatchProgress {
  done: number
  succeeded: number
  failed: number
  elapsedMs: number
  /** Where known. */
  total?: number
  /** Extrapolated from the prompts done so far. */
  estimatedMsLeft?: number
}

export interface BatchOptions extends ClientOptions {
  /** @default 'gemini-2.5-flash' */
  model?: string
  /** Attempts for each prompt, the first one included. Waiting for an open circuit is not an attempt. @default 3 */
  maxAttempts?: number
  /** The HolySheep tutorials' name for `maxAttempts`. Giving both is an error. */
  maxRetries?: number
  /** The maximum number of concurrent prompts. @default 10 */
  concurrency?: number
  /** Additional fields of each request. */
  request?: Record<string, unknown>
  /** How many prompts an iterable yields, for `onProgress`. */
  total?: number
  /** Stops the batch: finished prompts keep their results, the others fail with `cause: signal.reason`. */
  signal?: AbortSignal
  onProgress?(progress: BatchProgress): unknown
  /** An existing client, instead of one created from these options. */
  client?: { chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion> }
}

export type BatchResult =
  | { index: number; success: true; result: string }
  | { index: number; success: false; error: string; cause: unknown }

/** Resolves to a result for every prompt, in order. A prompt that fails does not stop the others. */
export function batchProcess(
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  options?: BatchOptions,
): Promise<BatchResult[]>

/**
 * The same, yielding results as they arrive, for more prompts than fit in memory: a prompt is read only when it can start,
 * and at most `concurrency` prompts and unread results are in memory. Leaving the loop stops the batch.
 */
export function batchStream(
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  options?: BatchOptions,
): AsyncGenerator<BatchResult, void>

export interface QueueOptions extends ClientOptions {
  /** Attempts for each task, the first one included. @default 3 */
  maxAttempts?: number
  /** The HolySheep tutorials' name for `maxAttempts`. Giving both is an error. */
  maxRetries?: number
  /** The maximum number of unfinished tasks. @default 1000 */
  maxSize?: number
  /** The maximum number of concurrent attempts. @default 10 */
  concurrency?: number
  request?: Record<string, unknown>
  client?: BatchOptions['client']
}

export type QueueResult = { taskId: string; response: string } | { taskId: string; error: string; cause: unknown }

/** A bounded queue of tasks with a bounded number of attempts each. Tasks that wait for a retry do not block others. */
export class BoundedRetryQueue {
  constructor(options?: QueueOptions)
  constructor(maxRetries?: number, maxSize?: number, options?: QueueOptions)
  readonly maxRetries: number
  readonly maxSize: number
  /** Unfinished tasks. */
  get size(): number
  /** Rejects with a QueueFullError if the queue is full, and with a TypeError if the id is already in it. */
  addTask(taskId: string, prompt: Prompt): Promise<void>
  /**
   * Yields results as they arrive, until the queue is empty; tasks may be added in the meantime. Leaving the loop, or an
   * abort, stops the running tasks; unfinished ones stay in the queue.
   */
  processWithRetry(options?: { signal?: AbortSignal }): AsyncGenerator<QueueResult, void>
}
