/** Snapshots: the state of a stream as a plain object, from which another process can resume. */
import type { ChatRequest, Snapshot, SnapshotOptions, StreamResult } from '../../index'
import { describe, fromRecord, HolySheepError, invalid, unknownOption } from './errors'
import { optionsObject } from './options'
import { bare, own, stringify } from './own'

/** A snapshot as Rust has it, without the request. */
type NativeSnapshot = Omit<Snapshot, 'request' | 'messagesSha256'>

function sha256(request: unknown): string {
  // Loaded with the first snapshot, because loading it would double the time to `require` this package.
  const { createHash } = require('node:crypto') as typeof import('node:crypto')
  return createHash('sha256')
    .update(stringify(conversationOf(request)) as string)
    .digest('hex')
}

/** The messages of a request, or the `input` of one for `/v1/responses`. */
function conversationOf(request: unknown): unknown {
  return own(request, 'messages') ?? own(request, 'input') ?? null
}

/** Adds the request to a snapshot from Rust. `body` is the JSON of the request. */
export function addRequest(from: NativeSnapshot, body: string, messages: 'full' | 'hash' = 'full'): Snapshot {
  const { request: _, ...native } = from as Snapshot
  const request = JSON.parse(body) as ChatRequest
  const withHash = { ...native, messagesSha256: sha256(request) }
  return messages === 'full' ? { ...withHash, request } : withHash
}

export function readSnapshotOptions(options: SnapshotOptions | undefined): 'full' | 'hash' {
  const { messages = 'full', ...others } = optionsObject('options', options) as SnapshotOptions
  for (const name of Object.keys(others)) throw unknownOption(name, 'messages')
  if (messages !== 'full' && messages !== 'hash') throw invalid('messages', messages, "'full' or 'hash'")
  return messages
}

/** Reads a snapshot from Rust, which is empty if the answer has outgrown it. */
export function parseSnapshot(json: string): NativeSnapshot {
  if (json !== '') return JSON.parse(json)
  throw answerTooLarge('the answer takes more memory than a snapshot may (recovery.maxBytes)')
}

export function answerTooLarge(message: string): Error {
  return fromRecord({ class: 'MalformedResponseError', code: 'ANSWER_TOO_LARGE', message })
}

/** The snapshot of a stream that has completed. */
export function snapshotOfResult(result: StreamResult, version: 1 = 1): NativeSnapshot {
  const { text, reasoning, refusal, finishReason, usage, sessionId, attempts, recoveries, segments, joins } = result
  const deltas = attempts.reduce((sum, attempt) => sum + attempt.deltas, 0)
  const toolCalls = result.toolCalls?.map(({ id, function: { name, arguments: text } }) => ({
    id,
    name,
    arguments: text,
  }))
  const identity = { id: result.id ?? undefined, created: result.created ?? undefined, model: result.model }
  const answer = {
    ...identity,
    text,
    reasoning,
    refusal,
    finishReason: finishReason ?? undefined,
    toolCalls,
    complete: true,
    deltas,
  }
  const costUsd = result.costUsd
  return { version, sessionId, answer, usage: usage ?? undefined, costUsd, attempts, recoveries, segments, joins }
}

/** How far a reader has read: the UTF-16 units of text, and the deltas. */
export interface ReadPosition {
  length: number
  deltas: number
}

/** Truncates a snapshot to the part that a reader has read. */
export function clip(snapshot: NativeSnapshot, position: ReadPosition): NativeSnapshot {
  const { answer } = snapshot
  if (position.length >= answer.text.length) return snapshot
  const text = answer.text.slice(0, position.length)
  let left = [...text].length
  const segments = snapshot.segments.map((segment) => {
    const characters = Math.min(segment.characters, left)
    left -= characters
    return { ...segment, characters }
  })
  return {
    ...snapshot,
    // Its position is that of everything received.
    response: undefined,
    answer: {
      ...answer,
      text,
      deltas: position.deltas,
      finishReason: undefined,
      complete: undefined,
      toolCalls: undefined,
    },
    segments: segments.filter((segment) => segment.characters > 0),
  }
}

/**
 * Replaces the JSON snapshot that Rust has put into an error with a lazy snapshot object.
 * Not enumerable, so that logging the error does not log the conversation.
 */
export function withSnapshot(error: unknown, body: string): unknown {
  const json = (error as { snapshot?: unknown } | undefined)?.snapshot
  if (!(error instanceof HolySheepError) || typeof json !== 'string') return error
  let snapshot: Snapshot | undefined
  return Object.defineProperty(error, 'snapshot', {
    get() {
      snapshot ??= addRequest(JSON.parse(json), body)
      return snapshot
    },
  })
}

/** The request, and the JSON that Rust resumes from and validates. */
export function readSnapshot(
  snapshot: unknown,
  request: ChatRequest | undefined,
): { request: ChatRequest; json: string; dialect: string | undefined } {
  const accepted = 'a snapshot from `stream.snapshot()` or `error.snapshot`'
  if (typeof snapshot !== 'object' || snapshot === null || Array.isArray(snapshot)) {
    // A string is not shown: a snapshot contains a conversation.
    throw invalid('snapshot', snapshot, accepted, typeof snapshot === 'string' ? 'a string' : describe(snapshot))
  }
  const { request: snapshotRequest, messagesSha256, ...native } = bare({ ...snapshot }) as Partial<Snapshot>
  bare(native)
  if (native.version === undefined) throw invalid('snapshot', snapshot, accepted, 'an object without a version')
  const full = request ?? snapshotRequest
  if (full === undefined) {
    throw invalid('request', undefined, 'the request of the snapshot, which contains only a hash of it')
  }
  if (messagesSha256 !== undefined && messagesSha256 !== sha256(full)) {
    throw invalid('request.messages', full?.messages, 'the messages of the snapshot', 'other messages')
  }
  const { dialect } = native
  // What the provider keeps is a stream.
  const streamed = dialect === undefined ? full : bare({ ...full, stream: true })
  return { request: streamed, json: stringify(native) as string, dialect }
}
