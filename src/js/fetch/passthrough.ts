/**
 * Responses and Messages, streamed or not, on the engine. What it hands over is the wire's own: server-sent events, each
 * whole and with its blank line, or the JSON of an answer that was not streamed, as one piece.
 */

import { type CallHandle, CHUNKS, type Consumer } from '../call-handle'
import { startCall } from '../client'
import { Head, isRequests, optionsOf, type Terms } from './chat'
import { broken, refusal } from './errors'
import { EventStream } from './event-stream'

/** Answers the requests of a dialect; undefined for one that only the provider can judge. */
export function passed(dialect: 'responses' | 'messages') {
  return async (terms: Terms): Promise<Response | undefined> => {
    const wish = wishOf(terms)
    if (!wish) return undefined
    try {
      return await (wish.stream ? streamed(terms, dialect) : inOnePiece(terms, dialect))
    } catch (error) {
      if (isRequests(error, terms.validatesModel)) return undefined
      return refusal(error)
    }
  }
}

function wishOf({ asked, hasModel }: Terms): { stream: boolean } | undefined {
  try {
    const body = JSON.parse(asked.text ?? '')
    // A stored prompt may name the model: ours would overrule it.
    return hasModel || typeof body.model === 'string' ? { stream: body.stream === true } : undefined
  } catch {
    return undefined
  }
}

/** In which form the request is written, and the answer expected: no secrets, and true of every endpoint. */
const FORM = ['anthropic-version', 'anthropic-beta', 'openai-beta']

function start(terms: Terms, dialect: string, head: Head, consumer: Consumer): CallHandle {
  const options = optionsOf(terms, head)
  const form = FORM.flatMap((name) => {
    const value = terms.asked.headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  const headers = { ...options.headers, ...Object.fromEntries(form) }
  return startCall(
    terms.client,
    terms.asked.text as string,
    { ...options, headers },
    consumer,
    false,
    undefined,
    dialect,
  )
}

function inOnePiece(terms: Terms, dialect: string): Promise<Response> {
  return new Promise((resolve, reject) => {
    const head = new Head()
    let json = ''
    const consumer = {
      piece(text: string) {
        json = text
      },
      end: () => resolve(new Response(json, { headers: head.headers('application/json') })),
      error: reject,
    }
    start(terms, dialect, head, consumer).begin(CHUNKS)
  })
}

/** The response begins with the first piece: until then every failure is retried in silence. */
function streamed(terms: Terms, dialect: string): Promise<Response> {
  return new Promise((resolve, reject) => {
    const head = new Head()
    const stream = new EventStream()
    let begun = false
    const begin = () => {
      if (begun) return
      begun = true
      if (terms.heartbeatMs > 0) stream.keepAlive(terms.heartbeatMs, () => {})
      resolve(head.eventStream(stream))
    }
    const consumer = {
      piece(event: string) {
        begin()
        stream.pass(event)
      },
      again: () => stream.again(),
      // Nothing follows the event that ends an answer.
      complete: () => stream.end(),
      end() {
        begin()
        stream.end()
      },
      error(error: unknown) {
        if (begun) stream.fail(broken(error))
        else reject(error)
      },
    }
    const call = start(terms, dialect, head, consumer)
    stream.attach(call)
    call.begin(CHUNKS)
  })
}
