/**
 * Runs the Responses and Messages dialects on the engine. Their answers pass through in the provider's format: complete
 * server-sent events, or the JSON of an unstreamed answer as one delta.
 */
import { type CallHandle, CHUNKS, type Consumer, ONLY_END } from '../call-handle'
import { startCall } from '../client'
import { bare, parseObject } from '../own'
import { callOptions, isRequestError, OK, type RequestContext, ResponseHead } from './chat'
import { bodyError, errorResponse } from './errors'
import { EventStream } from './event-stream'

/** Answers requests of a dialect; undefined for one that the engine does not accept. */
export function passthrough(dialect: 'responses' | 'messages') {
  return async (context: RequestContext): Promise<Response | undefined> => {
    const form = streamFormOf(context)
    if (!form) return undefined
    try {
      return await (form.stream ? streamedResponse(context, dialect) : jsonResponse(context, dialect))
    } catch (error) {
      if (isRequestError(error, context.validatesModel)) return undefined
      return errorResponse(error, dialect === 'messages' ? 'anthropic' : 'openai')
    }
  }
}

function streamFormOf({ request, hasModel }: RequestContext): { stream: boolean } | undefined {
  const body = parseObject(request.text)
  // Without a model the request may use that of a stored prompt, which our default would override.
  return body && (hasModel || typeof body.model === 'string') ? { stream: body.stream === true } : undefined
}

/** The headers that select the version of the API. They hold no secrets, and go to every endpoint. */
const VERSION_HEADERS = ['anthropic-version', 'anthropic-beta', 'openai-beta']

function start(context: RequestContext, dialect: string, head: ResponseHead, consumer: Consumer): CallHandle {
  const options = callOptions(context, head)
  const versions = VERSION_HEADERS.flatMap((name) => {
    const value = context.request.headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  const headers = { ...options.headers, ...Object.fromEntries(versions) }
  return startCall(
    context.client,
    context.request.text as string,
    { ...options, headers },
    consumer,
    false,
    undefined,
    dialect,
  )
}

function jsonResponse(context: RequestContext, dialect: string): Promise<Response> {
  return new Promise((resolve, reject) => {
    const head = new ResponseHead()
    let json = ''
    const consumer = {
      ...ONLY_END,
      delta(text: string) {
        json = text
      },
      end: () => resolve(new Response(json, bare({ headers: head.headers('application/json'), statusText: OK }))),
      error: reject,
    }
    start(context, dialect, head, consumer).begin(CHUNKS)
  })
}

/**
 * The response begins with the first delta. Until then failures are retried unnoticed. An answer without a token begins when
 * it is complete.
 */
function streamedResponse(context: RequestContext, dialect: string): Promise<Response> {
  return new Promise((resolve, reject) => {
    const head = new ResponseHead()
    const stream = new EventStream()
    let hasBegun = false
    const begin = () => {
      if (hasBegun) return
      hasBegun = true
      if (context.heartbeatMs > 0) stream.keepAlive(context.heartbeatMs, () => {})
      resolve(head.eventStream(stream))
    }
    const consumer = {
      ...ONLY_END,
      delta(event: string) {
        if (head.isKnown) begin()
        stream.sendRaw(event)
      },
      turn: () => stream.onTurn(),
      // The last event has arrived.
      complete() {
        begin()
        stream.end()
      },
      end() {
        begin()
        stream.end()
      },
      error(error: unknown) {
        if (hasBegun) stream.fail(bodyError(error))
        else reject(error)
      },
    }
    const call = start(context, dialect, head, consumer)
    stream.attach(call)
    call.begin(CHUNKS)
  })
}
