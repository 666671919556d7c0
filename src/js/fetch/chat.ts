/** Runs chat completions on the engine, streamed or not. */
import { STATUS_CODES } from 'node:http'
import type { URL } from 'node:url'
import type { CallOptions, ChatCompletion, ClientEvent } from '../../../index'
import { CHUNKS, type Consumer, NOTHING, ONLY_END } from '../call-handle'
import { type HolySheepStreamingClient, startCall } from '../client'
import { EVENTS, INTERNAL, type WithEventListener, type WithInternalOptions } from '../options'
import { bare, own, parseObject, stringify } from '../own'
import { readerResolved } from '../scheduler'
import { bodyError, errorResponse, headersOf } from './errors'
import { EventStream } from './event-stream'
import type { BufferedRequest } from './request'

/** The reason phrase of an answer. The provider's is not known. */
export const OK = STATUS_CODES[200]

/** A request and the options that apply to it. */
export interface RequestContext {
  client: HolySheepStreamingClient
  request: BufferedRequest
  url: URL
  heartbeatMs: number
  /** The options have a model for requests without one. */
  hasModel: boolean
  /** The options enable the check of the model's name. */
  validatesModel: boolean
}

/** Answers a request; undefined for one that the engine does not accept, which the provider then answers. */
export async function chat(context: RequestContext): Promise<Response | undefined> {
  const { request } = context
  const form = streamFormOf(request.text, context.hasModel)
  if (!form) return undefined
  const head = new ResponseHead()
  const options = callOptions(context, head)
  const start = (consumer: Consumer, unstreamed: boolean) =>
    startCall(context.client, request.text as string, options, consumer, unstreamed)
  try {
    return await (form.stream ? streamedResponse(start, head, form, context.heartbeatMs) : jsonResponse(start, head))
  } catch (error) {
    if (isRequestError(error, context.validatesModel)) return undefined
    return errorResponse(error, 'openai')
  }
}

/** The options of the call for a request. */
export function callOptions(
  { request, url }: RequestContext,
  head: ResponseHead,
): CallOptions & WithInternalOptions & WithEventListener {
  const key = request.headers.get('idempotency-key')
  return bare({
    [INTERNAL]: { firstEndpoint: { headers: Object.fromEntries(request.headers), query: url.search.slice(1) } },
    [EVENTS]: head.onEvent,
    ...(request.signal && { signal: request.signal }),
    // The engine derives keys for further requests from it, and cannot from any other.
    ...(key && /^[!-~]{1,255}$/.test(key) && { idempotencyKey: key }),
  })
}

type StartCall = (consumer: Consumer, unstreamed: boolean) => ReturnType<typeof startCall>

interface StreamForm {
  stream: boolean
  usage: boolean
}

/** The form of the answer; undefined for a request that the engine does not accept. */
function streamFormOf(text: string | undefined, hasModel: boolean): StreamForm | undefined {
  const body = parseObject(text)
  if (!body || !Array.isArray(body.messages) || !(hasModel || typeof body.model === 'string')) return undefined
  const stream = body.stream === true
  // Audio has different forms streamed and unstreamed, so an unstreamed answer cannot be assembled from chunks.
  const hasAudio = Array.isArray(body.modalities) && body.modalities.some((modality) => modality !== 'text')
  if (hasAudio && !stream) return undefined
  return { stream, usage: own(body.stream_options, 'include_usage') === true }
}

/** Whether the engine rejected the request. Such a request goes to the provider, which has the final say. */
export function isRequestError(error: unknown, validatesModel: boolean): boolean {
  if (!(error instanceof TypeError) || (error as { code?: unknown }).code !== 'INVALID_ARGUMENT') return false
  if (validatesModel && error.message.startsWith('request.model')) return false
  return error.message.startsWith('request')
}

/** The headers of the provider's response that a caller may see. */
export class ResponseHead {
  #headers: Record<string, string> = {}
  #requestId: string | undefined
  /** False until the first token, or the end of an answer without one. */
  isKnown = false
  /** Called on the first token. */
  onToken: (() => void) | undefined

  readonly onEvent = (event: ClientEvent) => {
    const isToken = event.type === 'first-token'
    if (!isToken && (event.type !== 'complete' || this.isKnown)) return
    this.isKnown = true
    this.#headers = event.headers ?? {}
    this.#requestId = event.requestId
    if (isToken) this.onToken?.()
  }

  headers(contentType: string, requestId = this.#requestId): Headers {
    const headers = headersOf(this.#headers, requestId)
    headers.set('content-type', contentType)
    return headers
  }

  /** A response with a stream as its body. */
  eventStream(stream: EventStream): Response {
    const headers = this.headers('text/event-stream; charset=utf-8')
    headers.set('cache-control', 'no-cache')
    // The awaiting caller runs before other calls are served.
    readerResolved()
    return new Response(stream.readable, bare({ headers, statusText: OK }))
  }
}

function jsonResponse(start: StartCall, head: ResponseHead): Promise<Response> {
  return new Promise((resolve, reject) => {
    const consumer: Consumer = {
      ...ONLY_END,
      end(json) {
        const { completion, about } = JSON.parse(json) as { completion: ChatCompletion; about: { requestId: string } }
        const headers = head.headers('application/json', about.requestId)
        resolve(new Response(stringify(completion) as string, bare({ headers, statusText: OK })))
      },
      error: reject,
    }
    start(consumer, true).begin(NOTHING)
  })
}

/**
 * The response begins with the first delta. Until then failures are retried unnoticed, and a final error has its own
 * status. While a tool call is buffered, the response begins with the first heartbeat. An answer without a token begins when
 * it is complete.
 */
function streamedResponse(
  start: StartCall,
  head: ResponseHead,
  form: StreamForm,
  heartbeatMs: number,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const stream = new EventStream()
    let hasBegun = false
    const begin = () => {
      if (hasBegun) return
      hasBegun = true
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
        ...ONLY_END,
        delta(json) {
          if (head.isKnown) begin()
          stream.send(json)
        },
        turn: () => stream.onTurn(),
        complete() {
          // The usage follows.
          if (form.usage) begin()
          else finish()
        },
        end: finish,
        error(error) {
          if (done) return
          done = true
          if (hasBegun) stream.fail(bodyError(error))
          else reject(error)
        },
      },
      false,
    )
    stream.attach(call)
    call.begin(CHUNKS)
  })
}
