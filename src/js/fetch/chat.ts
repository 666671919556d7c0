/** Chat completions, streamed or not, on the engine. */
import type { CallOptions, ChatCompletion, ClientEvent } from '../../../index'
import { CHUNKS, type Consumer, NOTHING } from '../call-handle'
import { type HolySheepStreamingClient, startCall } from '../client'
import { EVENTS, INTERNAL, type WithEventListener, type WithInternalOptions } from '../options'
import { readerResolved } from '../scheduler'
import { broken, headersOf, refusal } from './errors'
import { EventStream } from './event-stream'
import type { Asked } from './request'

/** What the request is run with. */
export interface Terms {
  client: HolySheepStreamingClient
  asked: Asked
  url: URL
  heartbeatMs: number
  /** The options name a model for requests without one. */
  hasModel: boolean
  /** The options ask for a check of the model's name here. */
  validatesModel: boolean
}

/** Answers a request; undefined for one that only the provider can judge. */
export async function chat(terms: Terms): Promise<Response | undefined> {
  const { asked } = terms
  const wish = wishOf(asked.text, terms.hasModel)
  if (!wish) return undefined
  const head = new Head()
  const options = optionsOf(terms, head)
  const start = (consumer: Consumer, whole: boolean) =>
    startCall(terms.client, asked.text as string, options, consumer, whole)
  try {
    return await (wish.stream ? streamed(start, head, wish, terms.heartbeatMs) : inOnePiece(start, head))
  } catch (error) {
    if (isRequests(error, terms.validatesModel)) return undefined
    return refusal(error)
  }
}

/** The options of the call that stands in for a request. */
export function optionsOf({ asked, url }: Terms, head: Head): CallOptions & WithInternalOptions & WithEventListener {
  const key = asked.headers.get('idempotency-key')
  return {
    [INTERNAL]: { firstEndpoint: { headers: Object.fromEntries(asked.headers), query: url.search.slice(1) } },
    [EVENTS]: head.hear,
    ...(asked.signal && { signal: asked.signal }),
    // Another one is no key that the engine could vary.
    ...(key && /^[!-~]{1,255}$/.test(key) && { idempotencyKey: key }),
  }
}

type StartCall = (consumer: Consumer, whole: boolean) => ReturnType<typeof startCall>

interface Wish {
  stream: boolean
  usage: boolean
}

/** What is asked for; undefined where it is no request that the engine takes. */
function wishOf(text: string | undefined, hasModel: boolean): Wish | undefined {
  let body: Record<string, unknown> | null
  try {
    body = JSON.parse(text ?? '')
  } catch {
    return undefined
  }
  if (!Array.isArray(body?.messages) || !(hasModel || typeof body.model === 'string')) return undefined
  const stream = body.stream === true
  // Sound is streamed in another form than it comes in one piece: there is nothing to assemble it from.
  const sounds = Array.isArray(body.modalities) && body.modalities.some((modality) => modality !== 'text')
  if (sounds && !stream) return undefined
  const options = body.stream_options as { include_usage?: unknown } | null | undefined
  return { stream, usage: options?.include_usage === true }
}

/** The engine's own word on a request is none of the provider's: that is asked. */
export function isRequests(error: unknown, validatesModel: boolean): boolean {
  if (!(error instanceof TypeError) || (error as { code?: unknown }).code !== 'INVALID_ARGUMENT') return false
  if (validatesModel && error.message.startsWith('request.model')) return false
  return error.message.startsWith('request')
}

/** What the head of the provider's response says, as far as a caller is told. */
export class Head {
  #headers: Record<string, string> = {}
  #requestId: string | undefined
  /** Told of the first token. */
  onToken: (() => void) | undefined

  readonly hear = (event: ClientEvent) => {
    if (event.type !== 'first-token') return
    this.#headers = event.headers ?? {}
    this.#requestId = event.requestId
    this.onToken?.()
  }

  headers(contentType: string, requestId = this.#requestId): Headers {
    const headers = headersOf(this.#headers, requestId)
    headers.set('content-type', contentType)
    return headers
  }

  /** The response that a stream is the body of. */
  eventStream(stream: EventStream): Response {
    const headers = this.headers('text/event-stream; charset=utf-8')
    headers.set('cache-control', 'no-cache')
    // Who waits for it runs before others are given theirs.
    readerResolved()
    return new Response(stream.readable, { headers })
  }
}

function inOnePiece(start: StartCall, head: Head): Promise<Response> {
  return new Promise((resolve, reject) => {
    const consumer: Consumer = {
      end(json) {
        const { completion, about } = JSON.parse(json) as { completion: ChatCompletion; about: { requestId: string } }
        const headers = head.headers('application/json', about.requestId)
        resolve(new Response(JSON.stringify(completion), { headers }))
      },
      error: reject,
    }
    start(consumer, true).begin(NOTHING)
  })
}

/**
 * The response begins with the first piece: until then every failure is retried in silence, and one that is final has
 * its own status. Where a tool call is held it begins with the first heartbeat.
 */
function streamed(start: StartCall, head: Head, wish: Wish, heartbeatMs: number): Promise<Response> {
  return new Promise((resolve, reject) => {
    const stream = new EventStream()
    let begun = false
    const begin = () => {
      if (begun) return
      begun = true
      resolve(head.eventStream(stream))
    }
    let done = false
    const finish = () => {
      if (done) return
      done = true
      begin()
      stream.send('[DONE]')
      stream.end()
    }
    head.onToken = () => {
      if (heartbeatMs > 0) stream.keepAlive(heartbeatMs, begin)
    }
    const call = start(
      {
        piece(json) {
          begin()
          stream.send(json)
        },
        again: () => stream.again(),
        complete() {
          // The usage may come yet.
          if (!wish.usage) finish()
        },
        end: finish,
        error(error) {
          if (done) return
          done = true
          if (begun) stream.fail(broken(error))
          else reject(error)
        },
      },
      false,
    )
    stream.attach(call)
    call.begin(CHUNKS)
  })
}
