/** Snapshots: what a stream has come to, as a plain object that another process can go on from. */
import type { ChatRequest, Snapshot, SnapshotOptions, StreamResult } from '../../index'
import { describe, HolySheepError, invalid, unknown } from './errors'
import { optionsObject } from './options'

/** A snapshot as Rust knows it: without the request. */
type Native = Omit<Snapshot, 'request' | 'messagesSha256'>

function sha256(messages: unknown): string {
  // Loaded with the first snapshot: it takes milliseconds, of which `require` of this package would be the half.
  const { createHash } = require('node:crypto') as typeof import('node:crypto')
  return createHash('sha256').update(JSON.stringify(messages)).digest('hex')
}

/** Adds the request to what Rust gave. `body` is the JSON of the request. */
export function complete(from: Native, body: string, messages: 'full' | 'hash' = 'full'): Snapshot {
  const { request: _, ...native } = from as Snapshot
  const request = JSON.parse(body) as ChatRequest
  const hashed = { ...native, messagesSha256: sha256(request.messages) }
  return messages === 'full' ? { ...hashed, request } : hashed
}

export function readOptions(options: SnapshotOptions | undefined): 'full' | 'hash' {
  const { messages = 'full', ...others } = optionsObject('options', options) as SnapshotOptions
  for (const name of Object.keys(others)) throw unknown(name, 'messages')
  if (messages !== 'full' && messages !== 'hash') throw invalid('messages', messages, "'full' or 'hash'")
  return messages
}

/** The snapshot of a stream that has ended well. */
export function ofResult(result: StreamResult, version: 1 = 1): Native {
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

/** What a reader has of a text: UTF-16 units, and deltas. */
export interface Taken {
  length: number
  deltas: number
}

/** A snapshot that holds only so much of the text as a reader has. */
export function clip(snapshot: Native, taken: Taken): Native {
  const { answer } = snapshot
  if (taken.length >= answer.text.length) return snapshot
  const text = answer.text.slice(0, taken.length)
  let left = [...text].length
  const segments = snapshot.segments.map((segment) => {
    const characters = Math.min(segment.characters, left)
    left -= characters
    return { ...segment, characters }
  })
  return {
    ...snapshot,
    answer: {
      ...answer,
      text,
      deltas: taken.deltas,
      finishReason: undefined,
      complete: undefined,
      toolCalls: undefined,
    },
    segments: segments.filter((segment) => segment.characters > 0),
  }
}

/**
 * Makes of the snapshot that Rust has put into an error what the caller can keep, when it is asked for.
 * Not enumerable: a logged error does not spread the conversation.
 */
export function ofError(error: unknown, body: string): unknown {
  const json = (error as { snapshot?: unknown } | undefined)?.snapshot
  if (!(error instanceof HolySheepError) || typeof json !== 'string') return error
  let snapshot: Snapshot | undefined
  return Object.defineProperty(error, 'snapshot', {
    get() {
      snapshot ??= complete(JSON.parse(json), body)
      return snapshot
    },
  })
}

/** The request and the JSON that a call goes on with. Rust checks the rest of the snapshot. */
export function toResume(snapshot: unknown, request: ChatRequest | undefined): { request: ChatRequest; json: string } {
  const accepted = 'what `stream.snapshot()` or `error.snapshot` gave'
  if (typeof snapshot !== 'object' || snapshot === null || Array.isArray(snapshot)) {
    // Not what it says: a snapshot holds a conversation.
    throw invalid('snapshot', snapshot, accepted, typeof snapshot === 'string' ? 'a string' : describe(snapshot))
  }
  const { request: kept, messagesSha256, ...native } = snapshot as Partial<Snapshot>
  if (native.version === undefined) throw invalid('snapshot', snapshot, accepted, 'an object without a version')
  const full = request ?? kept
  if (full === undefined) {
    throw invalid('request', undefined, 'the request that the snapshot was made of (it holds only a hash of it)')
  }
  if (messagesSha256 !== undefined && messagesSha256 !== sha256(full?.messages)) {
    throw invalid('request.messages', full?.messages, 'the messages of the snapshot', 'other messages')
  }
  return { request: full, json: JSON.stringify(native) }
}
