/** `ChatStream` for a browser: web streams and responses, and Node's `ServerResponse`. */

/** What happens to the call when the client disconnects or the web stream is canceled. */
export type OnDisconnect = 'abort' | 'finish'

export interface ReadableStreamOptions {
  /**
   * `abort`: the call is aborted, including at the provider. `finish`: it continues, and `result` has the answer.
   * @default 'abort'
   */
  onDisconnect?: OnDisconnect
}

/** `status`, `statusText` and `headers` as for `new Response`; a given header replaces the default of the same name. */
export interface TextResponseInit extends ReadableStreamOptions {
  /** @default 200 */
  status?: number
  statusText?: string
  headers?: ConstructorParameters<typeof Headers>[0]
}

export interface PipeOptions extends ReadableStreamOptions {
  /**
   * After this much silence a comment is sent, in milliseconds, so that no proxy drops the connection as idle; 0 turns it
   * off. @default 15000
   */
  heartbeatMs?: number
  /**
   * The message that the client receives for a failure. By default a sentence for the kind of failure, which names no
   * provider, host or model. If it throws, a process warning is emitted, and that sentence is sent.
   */
  errorMessage?(error: unknown): string
}

export interface SSEResponseInit extends TextResponseInit, PipeOptions {}

/** How a piped stream ended. */
export interface PipeOutcome {
  /**
   * `complete`: the whole answer and `[DONE]` were written. `failed`: the stream failed, and the client received the error.
   * `disconnected`: the client disconnected before the end.
   */
  outcome: 'complete' | 'failed' | 'disconnected'
  /** What the stream failed with. */
  error?: unknown
}

/** What `pipe` needs of a response; `node:http`, `node:http2`, Express and Koa (`ctx.res`) provide it. */
export interface ServerResponseLike {
  statusCode: number
  readonly headersSent: boolean
  readonly writableEnded: boolean
  readonly writableFinished?: boolean
  readonly destroyed?: boolean
  readonly closed?: boolean
  setHeader(name: string, value: string): unknown
  hasHeader(name: string): boolean
  write(chunk: string): boolean
  end(): unknown
  on(event: string, listener: (...args: any[]) => void): unknown
  removeListener(event: string, listener: (...args: any[]) => void): unknown
  flushHeaders?(): void
  /** From the `compression` middleware. */
  flush?(): void
}

/** Ways to send a `ChatStream` to a browser. Each of them reads the stream, which can be read once. */
export interface WebStream {
  /**
   * The text of the first choice as a web stream of strings. It errors with the stream's error; canceling it aborts the
   * call.
   */
  toReadableStream(options?: ReadableStreamOptions): ReadableStream<string>
  /**
   * The text of the first choice as the body of a `Response` (`text/plain`). A failure aborts the body; use `toSSEResponse`
   * if the client needs to know why.
   */
  toTextResponse(init?: TextResponseInit): Response
  /**
   * The stream as a `Response` of server-sent events in OpenAI's shape: `data: {chunk}` … `data: [DONE]`. The headers are
   * sent before the provider answers, so every failure is sent in the body: `event: error`,
   * `data: {"error":{"message", "type", "code", "param"}}`, and no `[DONE]`.
   */
  toSSEResponse(init?: SSEResponseInit): Response
  /**
   * Writes the stream to a Node response (Express, `node:http`, `node:http2`) like `toSSEResponse`, and ends it. It applies
   * backpressure when the client is slow. The headers are sent with the first chunk or the first heartbeat; a failure
   * before that is a JSON response with a matching status: 400, 429 and 503 (with `retry-after` where a wait helps), 502,
   * 504. A limit of the tenant is 429, one of the whole client 503.
   *
   * The promise resolves when the response has ended, even after a failure, which the client has received by then; with
   * `onDisconnect: 'finish'` not before the call has ended.
   * @throws TypeError (as a rejection) for an invalid response or one that has ended.
   */
  pipe(res: ServerResponseLike, options?: PipeOptions): Promise<PipeOutcome>
}
