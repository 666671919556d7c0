/** Requests and answers in OpenAI's shapes. Fields that are not declared here are passed on unchanged. */
import type { AttemptRecord } from './events.js'

/** One message of a conversation. Any field of the OpenAI API is accepted and passed on. */
export interface ChatMessage {
  role: 'developer' | 'system' | 'user' | 'assistant' | 'tool' | 'function' | (string & {})
  content?: string | null | ReadonlyArray<object>
  name?: string
  tool_calls?: ReadonlyArray<object>
  tool_call_id?: string
  [field: string]: unknown
}

/** The declared fields of a request. Other packages' request types are assignable to it. */
export interface ChatRequestFields {
  messages: ReadonlyArray<ChatMessage | object>
  /** The model; the client's `model` by default. */
  model?: string
  /** Set by the client regardless of the value here: `stream()` and `chat()` both stream upstream. */
  stream?: boolean | null
  /** The number of choices. */
  n?: number | null
  max_tokens?: number | null
  max_completion_tokens?: number | null
  stream_options?: { include_usage?: boolean } | null
}

/**
 * A chat completion request. Any field of the OpenAI API is accepted and passed on unchanged. So is a field in camelCase
 * (`maxTokens`), which no provider knows: a process warning (`HolySheepWarning`) is emitted once.
 */
export interface ChatRequest extends ChatRequestFields {
  [field: string]: unknown
}

/** The tokens that a call used, as the provider counts them. */
export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  [field: string]: unknown
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'function_call'

/** A tool call of a complete answer. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
  /** What the provider requires to be sent back with the call, such as Gemini's thought signature. */
  extra_content?: unknown
}

/** The delta of a tool call in one chunk. */
export interface ToolCallDelta {
  index: number
  id?: string
  type?: 'function'
  function?: { name?: string; arguments?: string }
  /** What the provider requires to be sent back with the call, such as Gemini's thought signature. */
  extra_content?: unknown
}

/** One event of a stream: OpenAI's `chat.completion.chunk`, as the provider sent it. */
export interface ChatCompletionChunk {
  id: string
  object: 'chat.completion.chunk'
  created: number
  model: string
  choices: Array<{
    index: number
    delta: {
      role?: 'developer' | 'system' | 'user' | 'assistant' | 'tool'
      content?: string | null
      refusal?: string | null
      /** Reasoning, if the provider exposes it. */
      reasoning_content?: string | null
      tool_calls?: ToolCallDelta[]
    }
    finish_reason: FinishReason | null
    logprobs?: any
  }>
  usage?: Usage | null
  system_fingerprint?: string
}

/** A complete answer: OpenAI's `chat.completion`. */
export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  choices: Array<{
    index: number
    message: {
      role: 'assistant'
      content: string | null
      refusal: string | null
      reasoning_content?: string
      tool_calls?: ToolCall[]
    }
    finish_reason: FinishReason
    logprobs: any
  }>
  usage?: Usage
  system_fingerprint?: string
  /** The provider's id of the request that was answered. Not enumerable. */
  readonly _request_id?: string | null
  /** What all attempts cost together, in USD; null if a price is unknown. Not enumerable. */
  readonly _cost_usd?: number | null
  /** The endpoint that answered; for a continued answer, the one that finished it. Not enumerable. */
  readonly _endpoint?: string
  /** The model of the last attempt, by your name for it; after a fallback, not the requested one. Not enumerable. */
  readonly _model?: string
  /** All attempts, including the one that answered. Not enumerable. */
  readonly _attempts?: AttemptRecord[]
  /** The session of every attempt. Not enumerable. */
  readonly _session_id?: string
}
