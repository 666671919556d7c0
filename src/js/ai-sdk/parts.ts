/** Chunks as parts of the AI SDK's stream. Pure: one chunk in, its parts out. */
import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import type { ChatCompletionChunk } from '../../../index'
import { extraOf, finishReasonOf, responseOf } from './answer'

type Delta = ChatCompletionChunk['choices'][number]['delta'] & { reasoning?: string | null }

interface Call {
  id: string
  name: string
  input: string
  extra?: unknown
}

export class Parts {
  #told = false
  #open: { kind: 'text' | 'reasoning'; id: string } | undefined
  #blocks = 0
  #call: (Call & { index: number }) | undefined
  #refused = false
  #reason: string | undefined

  constructor(private readonly out: (part: LanguageModelV4StreamPart) => void) {}

  get finishReason() {
    return finishReasonOf(this.#reason, this.#refused)
  }

  chunk(chunk: ChatCompletionChunk): void {
    if (!this.#told && chunk.id) {
      this.#told = true
      this.out({ type: 'response-metadata', ...responseOf(chunk) })
    }
    // Several choices are nothing that the AI SDK could ask for.
    const choice = chunk.choices?.find(({ index }) => index === 0)
    if (!choice) return
    const delta: Delta = choice.delta ?? {}
    this.#text('reasoning', delta.reasoning_content || delta.reasoning)
    this.#text('text', delta.content)
    this.#text('text', delta.refusal)
    this.#refused ||= Boolean(delta.refusal)
    for (const call of delta.tool_calls ?? []) this.#part(call)
    if (choice.finish_reason) this.#reason = choice.finish_reason
  }

  /** Ends what is open. A tool call that was cut off is none. */
  end(complete: boolean): void {
    this.#close()
    if (complete) this.#whole()
  }

  #text(kind: 'text' | 'reasoning', text: string | null | undefined) {
    if (!text) return
    this.#whole()
    if (this.#open?.kind !== kind) {
      this.#close()
      this.#open = { kind, id: `${kind}-${this.#blocks++}` }
      this.out({ type: `${kind}-start`, id: this.#open.id })
    }
    this.out({ type: `${kind}-delta`, id: this.#open.id, delta: text })
  }

  #close() {
    if (!this.#open) return
    const { kind, id } = this.#open
    this.#open = undefined
    this.out({ type: `${kind}-end`, id })
  }

  #part(given: NonNullable<Delta['tool_calls']>[number]) {
    const { index, id, function: called } = given
    this.#close()
    if (this.#call && this.#call.index !== index) this.#whole()
    if (!this.#call) {
      const name = called?.name ?? ''
      this.#call = { index, id: id || `call_${index}`, name, input: '' }
      this.out({ type: 'tool-input-start', id: this.#call.id, toolName: name })
    }
    this.#call.extra ??= given.extra_content
    const delta = called?.arguments ?? ''
    if (delta === '') return
    this.#call.input += delta
    this.out({ type: 'tool-input-delta', id: this.#call.id, delta })
  }

  /** The call that was under way is whole. */
  #whole() {
    if (!this.#call) return
    const { id, name, input, extra } = this.#call
    this.#call = undefined
    this.out({ type: 'tool-input-end', id })
    const whole = input.trim() === '' ? '{}' : input
    this.out({ type: 'tool-call', toolCallId: id, toolName: name, input: whole, ...extraOf(extra) })
  }
}
