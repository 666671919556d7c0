/**
 * Puts the tool calls of a streamed answer together. Providers may send them interleaved, all at one index, without indexes,
 * and with the id or the name last. The rules are those of `src/session/tool_calls.rs`.
 */
import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { extraOf } from './answer'

export interface ToolCallDelta {
  /** Some providers send none, or a string. */
  index?: unknown
  id?: string | null
  function?: { name?: string | null; arguments?: unknown } | null
  custom?: unknown
  extra_content?: unknown
}

interface ToolCall {
  index: number | undefined
  id: string
  name: string
  input: string
  extra?: unknown
  /** How much of the input was emitted; undefined before the start of the call. */
  emitted?: number
}

export class ToolCalls {
  readonly #calls: ToolCall[] = []

  constructor(private readonly out: (part: LanguageModelV4StreamPart) => void) {}

  /** Accepts the `tool_calls` of one delta. */
  add(deltas: ToolCallDelta[]): void {
    deltas.forEach((delta, at) => {
      // The AI SDK cannot request custom tools, so their calls are skipped.
      if (delta.custom) return
      const ofList = deltas.length > 1 ? at : undefined
      this.#add(delta, indexOf(delta.index) ?? ofList)
    })
  }

  /** Ends the calls, which are complete, in the order of their indexes. */
  end(): void {
    const last = Number.MAX_SAFE_INTEGER
    this.#calls.sort((a, b) => (a.index ?? last) - (b.index ?? last))
    this.#calls.forEach((call, position) => {
      call.id ||= `call_${position}`
      this.#emit(call)
      this.out({ type: 'tool-input-end', id: call.id })
      // Input that is not JSON too: the AI SDK can repair it, or reports it.
      const input = call.input.trim() === '' ? '{}' : call.input
      this.out({ type: 'tool-call', toolCallId: call.id, toolName: call.name, input, ...extraOf(call.extra) })
    })
    this.#calls.length = 0
  }

  #add(delta: ToolCallDelta, index: number | undefined) {
    const id = delta.id ?? ''
    const name = delta.function?.name ?? ''
    const call = this.#callOf(index, id, name)
    call.id ||= id
    addName(call, name)
    call.input += textOf(delta.function?.arguments)
    call.extra ??= delta.extra_content
    // The name may come in parts until the input begins.
    if (call.id !== '' && call.name !== '' && call.input !== '') this.#emit(call)
  }

  /** The call that a delta belongs to, created if it is new. */
  #callOf(index: number | undefined, id: string, name: string): ToolCall {
    const calls = this.#calls
    const last = calls.at(-1)
    const start = () => {
      const call: ToolCall = { index, id: '', name: '', input: '' }
      calls.push(call)
      return call
    }
    if (index !== undefined) {
      const atIndex = calls.filter((call) => call.index === index)
      const current = atIndex.at(-1)
      if (!current) return start()
      if (id === '' || current.id === '' || current.id === id) return current
      return atIndex.findLast((call) => call.id === id) ?? (name === '' ? current : start())
    }
    if (!last) return start()
    const isNamedAgain = name !== '' && last.name !== ''
    if (id !== '') {
      const same = calls.findLast((call) => call.id === id)
      return same ?? (last.id === '' && !isNamedAgain ? last : start())
    }
    return isNamedAgain && isJson(last.input) ? start() : last
  }

  /** Emits the input so far. */
  #emit(call: ToolCall) {
    const { id, name, input } = call
    if (call.emitted === undefined) this.out({ type: 'tool-input-start', id, toolName: name })
    const delta = input.slice(call.emitted)
    call.emitted = input.length
    if (delta !== '') this.out({ type: 'tool-input-delta', id, delta })
  }
}

/** Adds a name, which is sent once, in parts, as all of it so far, or again with each delta. */
function addName(call: ToolCall, name: string) {
  if (call.name === '' || !name.startsWith(call.name)) {
    if (call.input === '' || call.name === '') call.name += name
  } else if (call.input === '') {
    call.name = name
  }
}

/** The index of a call: a number, or a string that holds one. */
export function indexOf(index: unknown): number | undefined {
  if (typeof index !== 'number' && (typeof index !== 'string' || index.trim() === '')) return undefined
  const number = Number(index)
  return Number.isInteger(number) && number >= 0 ? number : undefined
}

function textOf(input: unknown): string {
  if (input === undefined || input === null) return ''
  return typeof input === 'string' ? input : JSON.stringify(input)
}

/** Whether this is valid JSON. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
