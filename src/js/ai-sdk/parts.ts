/** Converts chunks to parts of the AI SDK's stream. Pure: a chunk in, its parts out. */
import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import type { ChatCompletionChunk } from '../../../index'
import { finishReasonOf, responseOf } from './answer'
import { indexOf, type ToolCallDelta, ToolCalls } from './tool-calls'

/** How deep text may be nested in parts. */
const MAX_DEPTH = 4

/** The fields of a delta. Chunks arrive as the provider sent them, so any of them may be missing or of another type. */
interface Delta {
  content?: unknown
  reasoning_content?: unknown
  reasoning?: unknown
  refusal?: unknown
  tool_calls?: ToolCallDelta[] | null
  /** The predecessor of `tool_calls`. */
  function_call?: ToolCallDelta['function']
}

interface Choice {
  index?: unknown
  delta?: Delta | null
  finish_reason?: string | null
}

export class StreamParts {
  #metadataSent = false
  /** The index of the choice that is read: the first one that arrives. Some providers count from one. */
  #index: number | undefined
  #open: { kind: 'text' | 'reasoning'; id: string } | undefined
  #blocks = 0
  readonly #toolCalls: ToolCalls
  #refused = false
  #reason: string | undefined

  constructor(private readonly out: (part: LanguageModelV4StreamPart) => void) {
    this.#toolCalls = new ToolCalls(out)
  }

  get finishReason() {
    return finishReasonOf(this.#reason, this.#refused)
  }

  chunk(chunk: ChatCompletionChunk): void {
    if (!this.#metadataSent && chunk.id) {
      this.#metadataSent = true
      this.out({ type: 'response-metadata', ...responseOf(chunk) })
    }
    for (const choice of (chunk.choices ?? []) as Choice[]) {
      // The AI SDK cannot request several choices.
      const index = indexOf(choice?.index) ?? 0
      this.#index ??= index
      if (index === this.#index) this.#choice(choice)
    }
  }

  /** Ends open blocks. An incomplete tool call is dropped. */
  end(complete: boolean): void {
    this.#endBlock()
    if (complete) this.#toolCalls.end()
  }

  #choice({ delta, finish_reason }: Choice) {
    const { content, reasoning_content, reasoning, refusal, tool_calls, function_call } = delta ?? {}
    this.#text('reasoning', optionalText(reasoning_content) || optionalText(reasoning))
    this.#text('text', textOf(content))
    const refused = optionalText(refusal)
    this.#text('text', refused)
    this.#refused ||= refused !== ''
    const calls = tool_calls ?? []
    if (calls.length > 0) this.#endBlock()
    this.#toolCalls.add(calls)
    if (function_call?.name || function_call?.arguments) {
      this.#endBlock()
      this.#toolCalls.add([{ index: 0, function: function_call }])
    }
    if (finish_reason) this.#reason = String(finish_reason)
  }

  #text(kind: 'text' | 'reasoning', text: string) {
    if (text === '') return
    if (this.#open?.kind !== kind) {
      this.#endBlock()
      this.#open = { kind, id: `${kind}-${this.#blocks++}` }
      this.out({ type: `${kind}-start`, id: this.#open.id })
    }
    this.out({ type: `${kind}-delta`, id: this.#open.id, delta: text })
  }

  #endBlock() {
    if (!this.#open) return
    const { kind, id } = this.#open
    this.#open = undefined
    this.out({ type: `${kind}-end`, id })
  }
}

/** Text that the answer can do without, such as reasoning: numbers and booleans do not count as text. */
function optionalText(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? '' : textOf(value)
}

/** The text of a string, a number, a boolean, a part or a list of parts; the rules are those of the engine. */
function textOf(value: unknown, depth = MAX_DEPTH): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value !== 'object' || value === null || depth === 0) return ''
  if (Array.isArray(value)) return value.map((part) => textOf(part, depth - 1)).join('')
  const { type, text, content, value: inner } = value as Record<string, unknown>
  // Parts of other kinds are not text: thinking, references, images.
  if (typeof type === 'string' && type !== '' && !type.endsWith('text')) return ''
  return textOf(text ?? content ?? inner, depth - 1)
}
