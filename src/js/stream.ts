/** `ChatStream`: one streamed answer, read as chunks, as text, or in one piece. */
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
import { type CallHandle, CHUNKS, type Consumer, NOTHING, TEXT } from './call-handle'
import { following, invalidState, rooted } from './errors'
import { clip, complete, ofResult, readOptions, type Taken } from './snapshot'
import { mayRead, woke } from './turn'
import type * as Web from './web'

/** Loaded when an answer is first sent to a browser. */
const web = () => require('./web') as typeof Web

/** How many pieces may wait for a reader before the socket is paused, and when it goes on. */
const HIGH_WATER = 256
const LOW_WATER = 64

/** How a stream was read, for whom it is too late. */
const READ_AS = { chunks: 'as chunks', text: 'as text', whole: 'in one piece' }

/** What a stream is started with. */
export interface Start {
  enter(consumer: Consumer): CallHandle
  /** The JSON of the request. */
  body: string
  /** The caller asked for the usage: one more chunk comes after the text. */
  withUsage: boolean
  /** What was delivered before this call. */
  earlier: Taken
  /** The caller's. */
  signal: AbortSignal | undefined
}

class Deferred<T> {
  readonly promise: Promise<T>
  resolve!: (value: T) => void
  reject!: (error: unknown) => void
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Nobody has to listen.
    this.promise.catch(() => {})
  }
}

/** Who waits for a piece: the two ends of the one promise that a piece costs. */
type Resolve = (result: IteratorResult<unknown, undefined>) => void
type Reject = (error: unknown) => void

/** What a reader gets of a piece; nothing where the piece has nothing for him. */
type Shape = (stream: ChatStream, piece: string) => unknown

/** Made by `HolySheepStreamingClient.stream`. */
export let createStream: (start: Start) => ChatStream

export class ChatStream implements AsyncIterable<ChatCompletionChunk> {
  // First what each piece touches: with a thousand streams none of it is in the cache.
  /** Who waits first. */
  #resolve: Resolve | undefined
  #reject: Reject | undefined
  #shape: Shape = asItIs
  #mode: number | undefined
  /** Who waits first waits for a turn: what he asks for is there. */
  #deferred = false
  /** A reader has left: what still comes is nobody's. */
  #left = false
  /** Who reads: set once. */
  #reader: 'chunks' | 'text' | 'whole' | undefined
  /** What the reader has: UTF-16 units, and deltas. */
  #takenLength: number
  #takenDeltas: number
  /** What nobody has asked for yet. */
  #pieces: string[] = []
  #head = 0
  /** Who waits behind the first one. */
  readonly #others: [Resolve, Reject][] = []
  readonly #call: CallHandle
  readonly #result = new Deferred<StreamResult>()
  readonly #text = new Deferred<string>()
  /** Its stack is that of who began to read. */
  readonly #origin: { stack?: string } = {}
  #complete = false
  #failure: { error: unknown } | undefined
  readonly #start: Start
  /** How it ended: what a snapshot is made of when Rust has forgotten the call. */
  #ended: StreamResult | undefined
  /** Somebody waits for the end who does not read: nothing may wait for a reader. */
  #unbounded = false
  /** Nobody counts what the reader has: a snapshot holds all that was received. */
  #uncounted = false

  static {
    createStream = (start) => new ChatStream(start)
  }

  private constructor(start: Start) {
    this.#start = start
    this.#takenLength = start.earlier.length
    this.#takenDeltas = start.earlier.deltas
    this.#call = start.enter({
      piece: (text) => this.#onPiece(text),
      complete: (text) => this.#onComplete(text),
      restart: () => this.#onRestart(),
      end: (json) => this.#onEnd(JSON.parse(json)),
      error: (error, cancelled) => this.#onError(error, cancelled),
      again: () => this.#onTurn(),
    })
    // How it is read shows in the same turn, mostly; the call begins when that is known.
    queueMicrotask(() => this.#begin())
  }

  get result(): Promise<StreamResult> {
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
    if (this.#reader === undefined) {
      this.#reader = 'whole'
      this.#clear()
    }
    this.#unbounded = true
    this.#call.resume()
    return following(this.#text.promise)
  }

  abort(reason: unknown = new DOMException('This operation was aborted', 'AbortError')): void {
    this.#call.cancel(reason)
    // Of a call that is over nobody else says so.
    if (this.#ended) this.#drop(reason)
  }

  /** Drops what nobody has read. Who is not given it has not had the answer, though it came as a whole. */
  #drop(error: unknown) {
    if (this.#head === this.#pieces.length) return
    this.#clear()
    this.#failure = { error }
    this.#serve()
  }

  snapshot(options?: SnapshotOptions): Snapshot {
    const messages = readOptions(options)
    const { body } = this.#start
    const native = this.#ended ? ofResult(this.#ended) : JSON.parse(this.#call.snapshot())
    // Who waits for the whole has all of it.
    const whole = this.#uncounted || this.#reader === 'whole' || (this.#reader === undefined && this.#unbounded)
    return complete(
      whole ? native : clip(native, { length: this.#takenLength, deltas: this.#takenDeltas }),
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

  #take(text: string) {
    if (text === '') return
    this.#takenLength += text.length
    this.#takenDeltas++
  }

  #begin() {
    if (this.#mode !== undefined) return
    // Chunks hold everything: what a reader who comes later wants can be made from them.
    this.#mode = this.#reader === 'text' ? TEXT : this.#reader === 'whole' ? NOTHING : CHUNKS
    this.#call.begin(this.#mode)
  }

  #iterate<T>(reader: 'chunks' | 'text', shape: Shape, below: () => unknown): AsyncIterator<T, undefined> {
    this.#claim(reader, shape)
    // Once a stream: a piece has but one promise, through which V8 does not find who waits for it.
    Error.captureStackTrace?.(this.#origin, below)
    let over = false
    return {
      next: () =>
        over ? Promise.resolve({ value: undefined, done: true }) : (this.#next() as Promise<IteratorResult<T>>),
      return: async () => {
        over = true
        this.#leave()
        return { value: undefined, done: true }
      },
    }
  }

  #next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#head < this.#pieces.length) {
      const { signal } = this.#start
      // Nobody listens to it any more when the call is over: who still reads what came looks himself.
      if (this.#ended && signal?.aborted) this.#drop(signal.reason)
      else if (this.#resolve === undefined) {
        const value = mayRead() ? this.#ready() : this.#defer()
        if (value !== undefined) return Promise.resolve({ value, done: false })
      }
    }
    return new Promise((resolve, reject) => {
      if (this.#resolve === undefined) {
        this.#resolve = resolve
        this.#reject = reject
      } else {
        this.#others.push([resolve, reject])
      }
      if (!this.#deferred) this.#serve()
    })
  }

  #defer(): undefined {
    this.#deferred = true
    this.#call.again()
  }

  /** What can be had at once. */
  #ready(): unknown {
    for (let piece = this.#shift(); piece !== undefined; piece = this.#shift()) {
      const value = this.#shape(this, piece)
      if (value === undefined) continue
      this.#serve()
      return value
    }
  }

  /** Whoever waited first has something; the next one is first now. */
  #served() {
    const next = this.#others.length > 0 ? this.#others.shift() : undefined
    this.#resolve = next?.[0]
    this.#reject = next?.[1]
  }

  #claim(reader: 'chunks' | 'text', shape: Shape) {
    if (this.#reader !== undefined) {
      throw invalidState(
        `this stream was read already (${READ_AS[this.#reader]}) and can be read only once: call stream() again for another`,
      )
    }
    this.#reader = reader
    this.#shape = shape
  }

  /** The text that a piece brings to a reader of text. */
  static #asText(stream: ChatStream, piece: string): string | undefined {
    // What was begun as chunks, before it was known that only the text is read.
    const text = stream.#mode === CHUNKS ? textOf(JSON.parse(piece)) : piece
    stream.#take(text)
    return text === '' ? undefined : text
  }

  static #asChunk(stream: ChatStream, json: string): ChatCompletionChunk {
    const chunk = JSON.parse(json) as ChatCompletionChunk
    stream.#take(textOf(chunk))
    return chunk
  }

  /** The stream for `web.ts`: text, or chunks as the JSON that they came as. */
  #source(reader: 'chunks' | 'text'): Web.Source {
    this.#claim(reader, reader === 'text' ? ChatStream.#asText : asItIs)
    this.#uncounted = reader === 'chunks'
    return {
      next: async () => (await (this.#next() as Promise<IteratorResult<string>>)).value,
      ready: () => this.#ready() as string | undefined,
      leave: (how) => {
        this.#uncounted ||= how === 'finish'
        this.#leave(how)
      },
    }
  }

  #shift(): string | undefined {
    if (this.#head >= this.#pieces.length) return undefined
    const piece = this.#pieces[this.#head++]
    if (this.#head === this.#pieces.length) this.#clear()
    return piece
  }

  #clear() {
    this.#pieces = []
    this.#head = 0
  }

  /** Gives those who wait what is there. */
  #serve() {
    while (this.#resolve !== undefined) {
      const piece = this.#shift()
      if (piece !== undefined) {
        this.#give(piece)
      } else if (this.#failure) {
        // Told once; whoever asks again is at the end.
        const { error } = this.#failure
        this.#failure = undefined
        this.#complete = true
        this.#reject?.(rooted(error, this.#origin))
        this.#served()
      } else if (this.#complete) {
        this.#resolve({ value: undefined, done: true })
        this.#served()
      } else {
        break
      }
    }
    if (this.#pieces.length - this.#head <= LOW_WATER) this.#call.resume()
  }

  /** Gives a piece to whoever waits first. */
  #give(piece: string) {
    const value = this.#shape(this, piece)
    if (value === undefined) return
    this.#resolve?.({ value, done: false })
    this.#served()
    woke()
  }

  #onPiece(piece: string) {
    if (this.#left || this.#reader === 'whole') return
    // Who waits has had everything before it, or has a turn coming.
    if (this.#resolve !== undefined && !this.#deferred) return this.#give(piece)
    this.#pieces.push(piece)
    if (this.#pieces.length - this.#head >= HIGH_WATER && !this.#unbounded) this.#call.pause()
  }

  #onTurn() {
    this.#deferred = false
    this.#serve()
  }

  /** What nobody has read yet is void; who has read is told by the caller's `onRestart`. */
  #onRestart() {
    this.#clear()
    this.#takenLength = 0
    this.#takenDeltas = 0
  }

  #onComplete(text: string) {
    this.#complete = !(this.#start.withUsage && this.#reader !== 'text')
    if (this.#mode === NOTHING) this.#text.resolve(text)
    this.#serve()
  }

  #onEnd(result: StreamResult) {
    this.#complete = true
    this.#ended = result
    this.#text.resolve(result.text)
    this.#result.resolve(result)
    this.#serve()
  }

  #onError(error: unknown, cancelled: boolean) {
    this.#text.reject(error)
    this.#result.reject(error)
    if (!this.#complete) this.#failure = { error }
    if (cancelled) this.#drop(error)
    this.#serve()
  }

  #leave(how: 'abort' | 'finish' = 'abort') {
    this.#left = true
    this.#clear()
    const over = this.#complete
    this.#complete = true
    this.#failure = undefined
    // Whoever still waits for a piece is at the end, not at an error.
    this.#serve()
    // A finished answer stays finished; anything else ends here, unless it is wanted all the same.
    if (!over && how === 'abort') this.abort()
  }

  [Symbol.for('nodejs.util.inspect.custom')]() {
    const state = this.#failure ? 'failed' : this.#complete ? 'complete' : 'streaming'
    return `ChatStream { ${state} }`
  }
}

/** What the adapters of `web.ts` get. */
function asItIs(_stream: ChatStream, piece: string) {
  return piece
}

/** The text of the first choice in a chunk. */
function textOf(chunk: ChatCompletionChunk): string {
  let text = ''
  for (const choice of chunk.choices ?? []) {
    if (choice.index === 0 && typeof choice.delta?.content === 'string') text += choice.delta.content
  }
  return text
}
