/** What `ChatStream` becomes for a browser: web streams and responses, and Node's `ServerResponse`. */

/** What happens to the call when its reader goes away: the client of a response, or whoever cancels a web stream. */
export type OnDisconnect = 'abort' | 'finish'

export interface ReadableStreamOptions {
  /** `abort`: the call ends, at the provider too. `finish`: it runs on, and `result` has its answer. @default 'abort' */
  onDisconnect?: OnDisconnect
}

/** `status`, `statusText` and `headers` as for `new Response`; a header that is given replaces that of the same name. */
export interface TextResponseInit extends ReadableStreamOptions {
  /** @default 200 */
  status?: number
  statusText?: string
  headers?: ConstructorParameters<typeof Headers>[0]
}

export interface PipeOptions extends ReadableStreamOptions {
  /**
   * A comment is sent whenever nothing was for so long, in milliseconds, so that no proxy takes the connection for dead;
   * 0: none. @default 15000
   */
  heartbeatMs?: number
  /**
   * What the client is told of a failure. Without it a sentence by the kind of failure, which names no provider, host or
   * model. What it throws becomes a warning, and that sentence is sent.
   */
  errorMessage?(error: unknown): string
}

export interface SSEResponseInit extends TextResponseInit, PipeOptions {}

/** How a piped stream ended. */
export interface PipeOutcome {
  /**
   * `complete`: the whole answer, and `[DONE]`, were handed to the socket. `failed`: the stream failed, and the client was
   * told. `disconnected`: the client went away before the end.
   */
  outcome: 'complete' | 'failed' | 'disconnected'
  /** What the stream failed with. */
  error?: unknown
}

/** What `pipe` needs of a response; those of `node:http`, `node:http2` and Express have it. */
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
  /** Of the `compression` middleware. */
  flush?(): void
}

/** The ways of a `ChatStream` to a browser. Each of them reads the stream, which is read once. */
export interface WebStream {
  /**
   * The text of the first choice as a web stream, one string a piece. It errors with what the stream fails with;
   * cancelling it ends the call.
   */
  toReadableStream(options?: ReadableStreamOptions): ReadableStream<string>
  /**
   * The text of the first choice as the body of a `Response` (`text/plain`). A failure breaks the body off: where the
   * client must be told why, `toSSEResponse` does it.
   */
  toTextResponse(init?: TextResponseInit): Response
  /**
   * The stream as a `Response` of server-sent events in OpenAI's shape: `data: {chunk}` … `data: [DONE]`. The head is out
   * before the provider answers, so every failure is told in the body: `event: error`, `data: {"error":{"message", "type",
   * "code", "param"}}`, and no `[DONE]`.
   */
  toSSEResponse(init?: SSEResponseInit): Response
  /**
   * Writes the stream into a response of Node (Express, `node:http`, `node:http2`) as `toSSEResponse` does, and ends it. It
   * waits while the client does not keep up. The head is sent with the first chunk or the first heartbeat; a failure before
   * that is a JSON response with a status that fits: 400, 429 (`retry-after`), 502, 503, 504.
   *
   * The promise resolves when the response has ended, also after a failure, of which the client has been told then; with
   * `onDisconnect: 'finish'` not before the call has ended.
   * @throws TypeError (as a rejection) for what is no response, or one that has ended.
   */
  pipe(res: ServerResponseLike, options?: PipeOptions): Promise<PipeOutcome>
}
