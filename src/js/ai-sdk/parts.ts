/** Converts chunks to parts of the AI SDK's stream. Pure: a chunk in, its parts out. */
import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import type { ChatCompletionChunk } from '../../../index'
import { extraOf, finishReasonOf, responseOf } from './answer'

type Delta = ChatCompletionChunk['choices'][number]['delta'] & { reasoning?: string | null }

interface ToolCall {
  id: string
  name: string
  input: string
  extra?: unknown
}

export class StreamParts {
  #metadataSent = false
  #open: { kind: 'text' | 'reasoning'; id: string } | undefined
  #blocks = 0
  #call: (ToolCall & { index: number }) | undefined
  #refused = false
  #reason: string | undefined

  constructor(private readonly out: (part: LanguageModelV4StreamPart) => void) {}

  get finishReason() {
    return finishReasonOf(this.#reason, this.#refused)
  }

  chunk(chunk: ChatCompletionChunk): void {
    if (!this.#metadataSent && chunk.id) {
      this.#metadataSent = true
      this.out({ type: 'response-metadata', ...responseOf(chunk) })
    }
    // The AI SDK cannot request several choices.
    const choice = chunk.choices?.find(({ index }) => index === 0)
    if (!choice) return
    const delta: Delta = choice.delta ?? {}
    this.#text('reasoning', delta.reasoning_content || delta.reasoning)
    this.#text('text', delta.content)
    this.#text('text', delta.refusal)
    this.#refused ||= Boolean(delta.refusal)
    for (const call of delta.tool_calls ?? []) this.#toolCallDelta(call)
    if (choice.finish_reason) this.#reason = choice.finish_reason
  }

  /** Ends open blocks. An incomplete tool call is dropped. */
  end(complete: boolean): void {
    this.#endBlock()
    if (complete) this.#endToolCall()
  }

  #text(kind: 'text' | 'reasoning', text: string | null | undefined) {
    if (!text) return
    this.#endToolCall()
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

  #toolCallDelta(delta: NonNullable<Delta['tool_calls']>[number]) {
    const { index, id, function: part } = delta
    this.#endBlock()
    if (this.#call && this.#call.index !== index) this.#endToolCall()
    if (!this.#call) {
      const name = part?.name ?? ''
      this.#call = { index, id: id || `call_${index}`, name, input: '' }
      this.out({ type: 'tool-input-start', id: this.#call.id, toolName: name })
    }
    this.#call.extra ??= delta.extra_content
    const input = part?.arguments ?? ''
    if (input === '') return
    this.#call.input += input
    this.out({ type: 'tool-input-delta', id: this.#call.id, delta: input })
  }

  /** Emits the current tool call, which is complete. */
  #endToolCall() {
    if (!this.#call) return
    const { id, name, input, extra } = this.#call
    this.#call = undefined
    this.out({ type: 'tool-input-end', id })
    const json = input.trim() === '' ? '{}' : input
    this.out({ type: 'tool-call', toolCallId: id, toolName: name, input: json, ...extraOf(extra) })
  }
}
