/** Keys, timeouts, resets. */
import type { ChatRequest } from '../chat.js'
import type { HolySheepStreamingClient } from '../client.js'
import type { ClientOptions } from '../client-options.js'

/**
 * Checks a key's form: after trimming it starts with `sk-` and has at least 20 characters.
 * @throws TypeError with `code: 'INVALID_ARGUMENT'`, which never shows the key.
 */
export function validateApiKey(key: string): true

/**
 * A client whose silence is bounded by the task: `short` 10 s (connection 5 s), `medium` 30 s (10 s), `long` 60 s (15 s);
 * any other name is `medium`. It bounds the wait for the first token and between two bytes, on every route, not the
 * length of the answer. Retries 2, unless `options` say otherwise.
 */
export function createClientWithTimeout(
  taskType?: 'short' | 'medium' | 'long' | (string & {}),
  options?: ClientOptions,
): HolySheepStreamingClient

/**
 * A `fetch` with a deadline for headers and body. When it passes, the promise rejects, or the body fails, with a
 * `TimeoutError` (`code: 'TIMEOUT'`) whose `partialData` is what was received: `partialBuffer`, then the first 8 MiB
 * of the body, as bytes where `partialBuffer` is bytes, else as text. `options.signal` goes on working.
 * @param timeout In milliseconds. Default 30000.
 */
export function streamWithTimeout(
  url: string | URL | Request,
  options?: RequestInit & { partialBuffer?: string | Uint8Array },
  timeout?: number,
): Promise<Response>

/**
 * After an `ECONNRESET`, and while `attempt < maxAttempts`: waits a random 1–3 s and resolves to true, else to false at
 * once. What was received (`request.partialResponse`, else `error.partial`) is used: `request.messages` becomes a
 * question for the rest of it, which a further reset replaces.
 */
export function handleConnectionReset(
  error: unknown,
  request: Partial<ChatRequest> & { partialResponse?: string },
  attempt: number,
  maxAttempts: number,
  options?: { signal?: AbortSignal },
): Promise<boolean>
