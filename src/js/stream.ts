/** `ChatStream`: one streamed answer, read as chunks, as text deltas, or as the complete text. */
import type { ReadableStream } from 'node:stream/web'
import type {
  ChatCompletionChunk,
  PipeOptions,
  PipeOutcome,
  ReadableStreamOptions,
  ServerResponseLike,
  Snapshot,
  SnapshotOptions,
  SSEResponseInit,
  StreamResult,
  TextResponseInit,
} from '../../index'
import { type CallHandle, CHUNKS, type Consumer, NOTHING, ONLY_END, TEXT } from './call-handle'
import { textOf } from './chunk-text'
import { Deferred } from './deferred'
import { addStackOf, invalidState, withCallerStack } from './errors'
import { mayRead, readerResolved } from './scheduler'
import {
  addRequest,
  answerTooLarge,
  clip,
  parseSnapshot,
  type ReadPosition,
  readSnapshotOptions,
  snapshotOfResult,
} from './snapshot'
import { hold, type Link, release, streamOf } from './stream-link'
import { soon } from './timers'
import type * as Web from './web'

/** Loaded on first use. */
const web = () => require('./web') as typeof Web

/** How many deltas may wait for a reader before the socket is paused, and when it resumes. */
const HIGH_WATER = 256
const LOW_WATER = 64
/** The same for their text, in UTF-16 units: a chunk may be of any size. */
const HIGH_WATER_TEXT = 64 * 1024
const LOW_WATER_TEXT = 16 * 1024

/** How a stream was read, for the error of a second reader. */
const READ_AS = { chunks: 'as chunks', text: 'as text', complete: 'as the complete text' }

/** What a stream needs to start. */
export interface StreamStart {
  enter(consumer: Consumer): CallHandle
  /** The JSON of the request. */
  body: string
  /** The answer of another API, whose chunks are not chat chunks. */
  textOnly: boolean
  /** The caller has requested usage, so one more chunk follows the text. */
  withUsage: boolean
  /** The position that the call resumes at. */
  resumedAt: ReadPosition
  /** The caller's signal. */
  signal: AbortSignal | undefined
}

// The functions that settle the promise of a reader, the only promise that a delta costs.
type Resolve = (result: IteratorResult<unknown, undefined>) => void
type Reject = (error: unknown) => void

/** Converts a delta to what the reader gets; undefined to skip it. */
type Shape = (stream: ChatStream, delta: string) => unknown

/** For `HolySheepStreamingClient.stream`. */
export let createStream: (start: StreamStart) => ChatStream
let consumerOf: (link: Link<ChatStream>) => Consumer

export class ChatStream implements AsyncIterable<ChatCompletionChunk> {
  // The fields that each delta touches come first: with a thousand streams, none of them is in the cache.
  /** The first waiting reader. */
  #resolve: Resolve | undefined
  #reject: Reject | undefined
  #shape: Shape = unchanged
  #mode: number | undefined
  /** The first waiting reader waits for a turn: its delta has already arrived. */
  #deferred = false
  /** The reader has left, so further deltas are dropped. */
  #left = false
  /** The kind of reader, set once. */
  #reader: 'chunks' | 'text' | 'complete' | undefined
  /** How far the reader has read: UTF-16 units, and deltas. */
  #readLength: number
  #readDeltas: number
  /** The deltas that have not been read. */
  #deltas: string[] = []
  #head = 0
  /** The length of their text. */
  #textLength = 0
  /** The other waiting readers. */
  readonly #waiting: [Resolve, Reject][] = []
  readonly #call: CallHandle
  readonly #link: Link<ChatStream> = { held: this, weak: undefined }
  readonly #result = new Deferred<StreamResult>()
  readonly #text = new Deferred<string>()
  /** Has the stack of the code that began to read. */
  readonly #origin: { stack?: string } = {}
  #complete = false
  #failure: { error: unknown } | undefined
  readonly #start: StreamStart
  /** The result, for snapshots after Rust has forgotten the call. */
  #settledResult: StreamResult | undefined
  /** The caller awaits the end of the answer, so backpressure from the reader must not apply. */
  #unbounded = false
  /** Why there is no result of an answer that was read completely. */
  #tooLarge: Error | undefined
  /** The read position is unknown, so a snapshot contains everything received. */
  #uncounted = false

  static {
    createStream = (start) => new ChatStream(start)
    // Its functions must not refer to `this` of a stream: the call holds them.
    consumerOf = (link) => {
      const tell = (act: (stream: ChatStream) => void) => {
        const stream = streamOf(link)
        if (stream !== undefined) act(stream)
      }
      return {
        ...ONLY_END,
        delta(text) {
          const stream = streamOf(link)
          if (stream !== undefined) stream.#onDelta(text)
        },
        complete: (text) => tell((stream) => stream.#onComplete(text)),
        restart: () => tell((stream) => stream.#onRestart()),
        end: (json) => tell((stream) => stream.#onEnd(json)),
        error: (error, canceled) => tell((stream) => stream.#onError(error, canceled)),
        turn: () => tell((stream) => stream.#onTurn()),
        takesSnapshots: true,
      }
    }
  }

  private constructor(start: StreamStart) {
    this.#start = start
    this.#readLength = start.resumedAt.length
    this.#readDeltas = start.resumedAt.deltas
    this.#call = start.enter(consumerOf(this.#link))
    // Callers usually start to read synchronously, so the mode is known by then.
    soon(() => this.#begin())
  }

  get result(): Promise<StreamResult> {
    hold(this.#link, this)
    this.#unbounded = true
    this.#call.resume()
    return this.#result.promise
  }

  get textStream(): AsyncIterable<string> {
    const begin = () => this.#iterate<string>('text', ChatStream.#asText, begin)
    return { [Symbol.asyncIterator]: begin }
  }

  [Symbol.asyncIterator](): AsyncIterator<ChatCompletionChunk, undefined> {
    return this.#iterate<ChatCompletionChunk>('chunks', ChatStream.#asChunk, this[Symbol.asyncIterator])
  }

  text(): Promise<string> {
    hold(this.#link, this)
    if (this.#reader === undefined) {
      this.#reader = 'complete'
      this.#clear()
    }
    this.#unbounded = true
    this.#call.resume()
    return withCallerStack(this.#text.promise)
  }

  abort(reason: unknown = new DOMException('This operation was aborted', 'AbortError')): void {
    this.#call.cancel(reason)
    // A call that has ended does not report the abort.
    if (this.#settledResult) this.#drop(reason)
  }

  /** Drops unread deltas. A reader that misses them fails, although the answer has arrived completely. */
  #drop(error: unknown) {
    if (this.#head === this.#deltas.length) return
    this.#clear()
    this.#failure = { error }
    this.#serve()
  }

  snapshot(options?: SnapshotOptions): Snapshot {
    const messages = readSnapshotOptions(options)
    const { body } = this.#start
    if (this.#tooLarge) throw this.#tooLarge
    const snapshot = this.#settledResult ? snapshotOfResult(this.#settledResult) : parseSnapshot(this.#call.snapshot())
    // A caller that awaits the complete answer has all of it.
    const isUnclipped =
      this.#uncounted || this.#reader === 'complete' || (this.#reader === undefined && this.#unbounded)
    return addRequest(
      isUnclipped ? snapshot : clip(snapshot, { length: this.#readLength, deltas: this.#readDeltas }),
      body,
      messages,
    )
  }

  toReadableStream(options?: ReadableStreamOptions): ReadableStream<string> {
    return web().toReadableStream(options, () => this.#source('text'))
  }

  toTextResponse(init?: TextResponseInit): Response {
    return web().toTextResponse(init, () => this.#source('text'))
  }

  toSSEResponse(init?: SSEResponseInit): Response {
    return web().toSSEResponse(init, () => this.#source('chunks'))
  }

  pipe(res: ServerResponseLike, options?: PipeOptions): Promise<PipeOutcome> {
    const open = () => this.#source('chunks')
    return web().pipe(res, options, open, () => this.result)
  }

  #advance(text: string) {
    if (text === '') return
    this.#readLength += text.length
    this.#readDeltas++
  }

  #begin() {
    if (this.#mode !== undefined) return
    const unread = this.#start.textOnly ? TEXT : CHUNKS // A later reader of any kind can be served from chunks.
    this.#mode = this.#reader === 'text' ? TEXT : this.#reader === 'complete' ? NOTHING : unread
    this.#call.begin(this.#mode)
    if (this.#reader === undefined && !this.#unbounded) release(this.#link, this, this.#call)
  }

  #iterate<T>(reader: 'chunks' | 'text', shape: Shape, below: () => unknown): AsyncIterator<T, undefined> {
    this.#claim(reader, shape)
    // Once per stream: V8 cannot trace the awaiting function through the promise of a delta.
    Error.captureStackTrace?.(this.#origin, below)
    let done = false
    return {
      next: () =>
        done ? Promise.resolve({ value: undefined, done: true }) : (this.#next() as Promise<IteratorResult<T>>),
      return: async () => {
        done = true
        this.#leave()
        return { value: undefined, done: true }
      },
    }
  }

  #next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#head < this.#deltas.length) {
      const { signal } = this.#start
      // After the end of the call nothing listens to the signal, so a reader of the remaining deltas checks it.
      if (this.#settledResult && signal?.aborted) this.#drop(signal.reason)
      else if (this.#resolve === undefined) {
        const value = mayRead() ? this.#nextReady() : this.#defer()
        if (value !== undefined) return Promise.resolve({ value, done: false })
      }
    }
    return new Promise((resolve, reject) => {
      if (this.#resolve === undefined) {
        this.#resolve = resolve
        this.#reject = reject
      } else {
        this.#waiting.push([resolve, reject])
      }
      if (!this.#deferred) this.#serve()
    })
  }

  #defer(): undefined {
    this.#deferred = true
    this.#call.requestTurn()
  }

  /** The next value, if it has already arrived. */
  #nextReady(): unknown {
    for (let delta = this.#shift(); delta !== undefined; delta = this.#shift()) {
      const value = this.#shape(this, delta)
      if (value === undefined) continue
      this.#serve()
      return value
    }
  }

  /** Removes the first waiting reader, which has been served. */
  #shiftReader() {
    const next = this.#waiting.length > 0 ? this.#waiting.shift() : undefined
    this.#resolve = next?.[0]
    this.#reject = next?.[1]
  }

  #claim(reader: 'chunks' | 'text', shape: Shape) {
    if (this.#reader !== undefined) {
      throw invalidState(
        `this stream has already been read (${READ_AS[this.#reader]}), and can be read only once: call stream() again for a new one`,
      )
    }
    if (reader === 'chunks' && this.#start.textOnly)
      throw invalidState('no chat chunks here: read textStream or text()')
    hold(this.#link, this)
    this.#reader = reader
    this.#shape = shape
  }

  /** The text of a delta. */
  static #asText(stream: ChatStream, delta: string): string | undefined {
    // The mode is CHUNKS if the call began before its reader.
    const text = stream.#mode === CHUNKS ? textOf(JSON.parse(delta)) : delta
    stream.#advance(text)
    return text === '' ? undefined : text
  }

  static #asChunk(stream: ChatStream, json: string): ChatCompletionChunk {
    const chunk = JSON.parse(json) as ChatCompletionChunk
    stream.#advance(textOf(chunk))
    return chunk
  }

  /** The stream for `web.ts`: text, or chunks as JSON. */
  #source(reader: 'chunks' | 'text'): Web.Source {
    this.#claim(reader, reader === 'text' ? ChatStream.#asText : unchanged)
    this.#uncounted = reader === 'chunks'
    return {
      next: async () => (await (this.#next() as Promise<IteratorResult<string>>)).value,
      ready: () => this.#nextReady() as string | undefined,
      leave: (how) => {
        this.#uncounted ||= how === 'finish'
        this.#leave(how)
      },
    }
  }

  #shift(): string | undefined {
    if (this.#head >= this.#deltas.length) return undefined
    const delta = this.#deltas[this.#head++] as string
    this.#textLength -= delta.length
    if (this.#head === this.#deltas.length) this.#clear()
    return delta
  }

  #clear() {
    this.#deltas = []
    this.#head = 0
    this.#textLength = 0
  }

  /** Serves the waiting readers with what has arrived. */
  #serve() {
    while (this.#resolve !== undefined) {
      const delta = this.#shift()
      if (delta !== undefined) {
        this.#deliver(delta)
      } else if (this.#failure) {
        // Thrown once. After that the stream is at its end.
        const { error } = this.#failure
        this.#failure = undefined
        this.#complete = true
        this.#reject?.(addStackOf(error, this.#origin))
        this.#shiftReader()
      } else if (this.#complete) {
        this.#resolve({ value: undefined, done: true })
        this.#shiftReader()
      } else {
        break
      }
    }
    if (this.#deltas.length - this.#head <= LOW_WATER && this.#textLength <= LOW_WATER_TEXT) this.#call.resume()
    else this.#call.took()
  }

  /** Delivers a delta to the first waiting reader. */
  #deliver(delta: string) {
    const value = this.#shape(this, delta)
    if (value === undefined) return
    this.#resolve?.({ value, done: false })
    this.#shiftReader()
    readerResolved()
  }

  #onDelta(delta: string) {
    if (this.#left || this.#reader === 'complete') return
    // A waiting reader has read all earlier deltas, unless it waits for a turn.
    if (this.#resolve !== undefined && !this.#deferred) return this.#deliver(delta)
    this.#deltas.push(delta)
    this.#textLength += delta.length
    const isFull = this.#deltas.length - this.#head >= HIGH_WATER || this.#textLength >= HIGH_WATER_TEXT
    if (isFull && !this.#unbounded) this.#call.pause()
  }

  #onTurn() {
    this.#deferred = false
    this.#serve()
  }

  /** Unread deltas are void. The caller's `onRestart` deals with those that have been read. */
  #onRestart() {
    this.#clear()
    this.#readLength = 0
    this.#readDeltas = 0
  }

  #onComplete(text: string) {
    this.#complete = !(this.#start.withUsage && this.#reader !== 'text')
    if (this.#mode === NOTHING) this.#text.resolve(text)
    this.#serve()
  }

  #onEnd(json: string) {
    const { tooLargeFor, ...result } = JSON.parse(json) as StreamResult & { tooLargeFor?: number }
    this.#complete = true
    if (tooLargeFor !== undefined) {
      // The reader has everything; there is no whole of it.
      this.#tooLarge = answerTooLarge(`the answer takes more than ${tooLargeFor} bytes of memory (maxAnswerBytes)`)
      this.#text.reject(this.#tooLarge)
      this.#result.reject(this.#tooLarge)
      return this.#serve()
    }
    this.#settledResult = result
    this.#text.resolve(result.text)
    this.#result.resolve(result)
    this.#serve()
  }

  #onError(error: unknown, canceled: boolean) {
    this.#text.reject(error)
    this.#result.reject(error)
    if (!this.#complete) this.#failure = { error }
    if (canceled) this.#drop(error)
    this.#serve()
  }

  #leave(how: 'abort' | 'finish' = 'abort') {
    this.#left = true
    this.#clear()
    const wasComplete = this.#complete
    this.#complete = true
    this.#failure = undefined
    // Waiting readers get the end of the stream, not an error.
    this.#serve()
    // A complete answer stays complete. Any other is aborted, unless the caller wants it to finish.
    if (!wasComplete && how === 'abort') this.abort()
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `ChatStream { ${this.#failure ? 'failed' : this.#complete ? 'complete' : 'streaming'} }`
  }
}

const unchanged = (_stream: ChatStream, delta: string) => delta
