/**
 * Publishes calls and their attempts on channels of `node:diagnostics_channel`. Without a subscriber a call has no
 * observer, which costs nothing.
 */
import { type Channel, channel } from 'node:diagnostics_channel'
import { URL } from 'node:url'
import type { ChatRequest, ClientEvent } from '../../index'
import type { AttemptTrace, CallTrace, TracedResult } from '../../types/observability'
import { bare } from './own'
import { now } from './timers'

// The names that `diagnostics_channel.tracingChannel('holysheep:call').subscribe` expects.
const tracing = (name: string) => ({
  start: channel(`tracing:holysheep:${name}:start`),
  end: channel(`tracing:holysheep:${name}:end`),
  asyncStart: channel(`tracing:holysheep:${name}:asyncStart`),
  asyncEnd: channel(`tracing:holysheep:${name}:asyncEnd`),
  error: channel(`tracing:holysheep:${name}:error`),
})
const calls = tracing('call')
const attempts = tracing('attempt')
const events = channel('holysheep:event')
const ALL: Channel[] = [...Object.values(calls), ...Object.values(attempts), events]

/** What the client knows about a call that it starts. */
export interface CallInfo {
  operation: CallTrace['operation']
  /** The request, as JSON. */
  body: string
  /** The model of requests without one. */
  model: string
  sessionId?: string
  tenant?: string
  /** The endpoints of the client in order, with the names that events use. */
  endpoints(): Array<{ name: string; url: string }>
}

/** An observer of the call, if any channel has a subscriber. */
export function observe(info: CallInfo): CallObserver | undefined {
  return ALL.some((each) => each.hasSubscribers) ? new CallObserver(info) : undefined
}

export class CallObserver {
  readonly #trace: CallTrace
  readonly #servers: Map<string, { address: string; port: number }>
  readonly #open = new Map<number, AttemptTrace>()
  readonly #started = now()

  constructor({ operation, body, model, sessionId, tenant, endpoints }: CallInfo) {
    const known = endpoints().map(({ name, url }) => [name, serverOf(url)] as const)
    this.#servers = new Map(known)
    let request: ChatRequest | undefined
    const read = () => {
      request ??= bare(JSON.parse(body) as ChatRequest)
      return request
    }
    const trace = { operation, model: read().model ?? model, sessionId, tenant, server: known[0]?.[1] }
    // Not enumerable, so that printing or copying the trace does not include the prompt.
    this.#trace = Object.defineProperty(trace, 'request', { get: read }) as CallTrace
  }

  /** Call this after the start of the call, in the caller's async context. */
  start() {
    publish(calls.start, this.#trace)
    publish(calls.end, this.#trace)
  }

  event(event: ClientEvent) {
    if (event.call !== undefined) this.#trace.call ??= event.call
    publish(events, event)
    if (event.type === 'attempt') {
      const { call, attempt, endpoint, model, requestId, reason } = event
      const trace: AttemptTrace = { call, attempt, endpoint, model, requestId, reason, parent: this.#trace }
      // Not enumerable, so that a printed attempt does not include its call.
      Object.defineProperty(trace, 'parent', { enumerable: false })
      trace.server = this.#servers.get(endpoint)
      if (trace.server) this.#trace.server = trace.server
      this.#open.set(attempt, trace)
      publish(attempts.start, trace)
      publish(attempts.end, trace)
    } else if (event.type === 'first-token') {
      this.#trace.firstTokenMs ??= now() - this.#started
      const trace = this.#open.get(event.attempt)
      if (trace) trace.firstTokenMs = event.firstTokenMs
    } else if (event.type === 'attempt-failed') {
      const { code, status, message, durationMs } = event
      this.#close(event.attempt, { outcome: code, status, message, durationMs }, true)
    } else if (event.type === 'hedge-lost') {
      this.#close(event.attempt, { outcome: 'hedge-lost', durationMs: event.durationMs }, false)
    }
  }

  end(json: string) {
    const result = resultOf(JSON.parse(json))
    this.#trace.result = result
    for (const number of [...this.#open.keys()]) {
      const { status, durationMs } = result.attempts.find(({ attempt }) => attempt === number) ?? {}
      this.#close(number, { outcome: 'complete', status, durationMs }, false)
    }
    this.#finish()
  }

  error(error: unknown) {
    this.#trace.error = error
    // These attempts ended with the call, and have no separate event.
    for (const number of [...this.#open.keys()]) this.#close(number, { outcome: 'ABORTED' }, false)
    publish(calls.error, this.#trace)
    this.#finish()
  }

  #finish() {
    this.#trace.durationMs = now() - this.#started
    publish(calls.asyncStart, this.#trace)
    publish(calls.asyncEnd, this.#trace)
  }

  #close(number: number, how: Partial<AttemptTrace>, failed: boolean) {
    const trace = this.#open.get(number)
    if (!trace) return
    this.#open.delete(number)
    Object.assign(trace, how)
    if (failed) publish(attempts.error, trace)
    publish(attempts.asyncStart, trace)
    publish(attempts.asyncEnd, trace)
  }
}

/** Publishes a message. Node makes an error of a subscriber an `uncaughtException`, which does not affect the call. */
function publish(to: Channel, message: unknown) {
  if (to.hasSubscribers) to.publish(message)
}

/** The host and port of a base URL. */
function serverOf(url: string): { address: string; port: number } {
  const { hostname, port, protocol } = new URL(url)
  return { address: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (protocol === 'http:' ? 80 : 443) }
}

/** The common fields of the results of `chat` and `stream`. */
function resultOf(result: any): TracedResult {
  const { completion, about = result } = result ?? {}
  const finishReasons = completion?.choices?.map((choice: { finish_reason: string }) => choice.finish_reason)
  const { attempts = [], recoveries = 0, costUsd = null, endpoint, sessionId } = about ?? {}
  return {
    id: completion?.id ?? about?.id ?? undefined,
    model: completion?.model ?? about?.model,
    endpoint,
    finishReasons: finishReasons ?? (about?.finishReason ? [about.finishReason] : []),
    usage: completion?.usage ?? about?.usage ?? undefined,
    attempts,
    recoveries,
    costUsd,
    sessionId,
  }
}
