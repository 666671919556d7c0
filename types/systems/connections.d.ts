/** Keys, timeouts, resets. */
import type { ChatRequest } from '../chat.js'
import type { HolySheepStreamingClient } from '../client.js'
import type { ClientOptions } from '../client-options.js'

/**
 * Checks the form of a key: trimmed, it starts with `sk-` and has at least 20 characters.
 * @throws TypeError with `code: 'INVALID_ARGUMENT'`, which never shows the key.
 */
export function validateApiKey(key: string): true

/**
 * A client with timeouts by task: `short` 10 s (connect 5 s), `medium` 30 s (10 s), `long` 60 s (15 s); any other name is
 * `medium`. The timeout applies to the first token and to silence between two reads, not to the whole answer. Two retries
 * by default.
 */
export function createClientWithTimeout(
  taskType?: 'short' | 'medium' | 'long' | (string & {}),
  options?: ClientOptions,
): HolySheepStreamingClient

/**
 * A `fetch` with a deadline for headers and body. When it passes, the promise rejects, or the body fails, with a
 * `TimeoutError` (`code: 'TIMEOUT'`) whose `partialData` is what was received: `partialBuffer`, then the first 8 MiB of the
 * body, as bytes if `partialBuffer` is bytes, otherwise as text. `options.signal` works as usual.
 * @param timeout In milliseconds. @default 30000
 */
export function streamWithTimeout(
  url: string | URL | Request,
  options?: RequestInit & { partialBuffer?: string | Uint8Array },
  timeout?: number,
): Promise<Response>

/**
 * After an `ECONNRESET`, while `attempt < maxAttempts`: waits a random 1–3 s and resolves to true; otherwise resolves to
 * false immediately. What was received (`request.partialResponse`, otherwise `error.partial`) is used: `request.messages`
 * becomes a request for the rest of it. A further reset replaces that request.
 */
export function handleConnectionReset(
  error: unknown,
  request: Partial<ChatRequest> & { partialResponse?: string },
  attempt: number,
  maxAttempts: number,
  options?: { signal?: AbortSignal },
): Promise<boolean>
