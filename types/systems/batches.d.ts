/** Many prompts. */
import type { CallOptions } from '../call-options.js'
import type { ChatCompletion, ChatMessage, ChatRequest } from '../chat.js'
import type { ClientOptions } from '../client-options.js'

/** A user's message, or a conversation. */
export type Prompt = string | ReadonlyArray<ChatMessage | object>

export interface BatchProgress {
  done: number
  succeeded: number
  failed: number
  elapsedMs: number
  /** Where it is known. */
  total?: number
  /** As long for each prompt that is left as for each so far. */
  estimatedMsLeft?: number
}

export interface BatchOptions extends ClientOptions {
  /** `gemini-2.5-flash` unless set. */
  model?: string
  /** Attempts in all, for each prompt; an open circuit is waited for and is none. 3 unless set. */
  maxRetries?: number
  /** Prompts at a time. 10 unless set. */
  concurrency?: number
  /** Further fields of each request. */
  request?: Record<string, unknown>
  /** How many prompts an iterable has, for the progress. */
  total?: number
  /** Stops all: what is done keeps its result, what is not fails with `cause: signal.reason`. */
  signal?: AbortSignal
  onProgress?(progress: BatchProgress): unknown
  /** A client of your own in place of one made from these options. */
  client?: { chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion> }
}

export type BatchResult =
  | { index: number; success: true; result: string }
  | { index: number; success: false; error: string; cause: unknown }

/** A result for every prompt, in order. A prompt that fails does not stop the others. */
export function batchProcess(
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  options?: BatchOptions,
): Promise<BatchResult[]>

/**
 * The same, one result at a time as they come, for more prompts than memory holds: a prompt is read when there is a
 * place for it, and no more than `concurrency` prompts and unread results are held. Leaving the loop stops all.
 */
export function batchStream(
  prompts: Iterable<Prompt> | AsyncIterable<Prompt>,
  options?: BatchOptions,
): AsyncGenerator<BatchResult, void>

export interface QueueOptions extends ClientOptions {
  /** Attempts in all, for each task. 3 unless set. */
  maxRetries?: number
  /** Tasks that are not finished. 1000 unless set. */
  maxSize?: number
  /** Attempts at a time. 10 unless set. */
  concurrency?: number
  request?: Record<string, unknown>
  client?: BatchOptions['client']
}

export type QueueResult = { taskId: string; response: string } | { taskId: string; error: string; cause: unknown }

/** Tasks with a bounded number of attempts, in a bounded queue. A task that waits for its retry lets others pass. */
export class BoundedRetryQueue {
  constructor(options?: QueueOptions)
  constructor(maxRetries?: number, maxSize?: number, options?: QueueOptions)
  readonly maxRetries: number
  readonly maxSize: number
  /** Tasks that are not finished. */
  get size(): number
  /** Rejects with a QueueFullError where it is full, and with a TypeError where the id is there already. */
  addTask(taskId: string, prompt: Prompt): Promise<void>
  /**
   * Results as they come, until the queue is empty; tasks may be added meanwhile. Leaving the loop, or an abort, stops
   * what runs; what is not finished stays in the queue.
   */
  processWithRetry(options?: { signal?: AbortSignal }): AsyncGenerator<QueueResult, void>
}
