/** Requests and answers: OpenAI's shapes. Fields that are not named here are passed on unchanged. */
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

/** The fields of a request that are known here. Other packages' types of requests fit it. */
export interface ChatRequestFields {
  messages: ReadonlyArray<ChatMessage | object>
  /** The model. Without it: the client's `model`. */
  model?: string
  /** Set by the client, whatever is given here: `stream()` and `chat()` both stream upstream. */
  stream?: boolean | null
  /** Number of choices. */
  n?: number | null
  max_tokens?: number | null
  max_completion_tokens?: number | null
  stream_options?: { include_usage?: boolean } | null
}

/**
 * A chat completion request. Any field of the OpenAI API is accepted and passed on unchanged. A field of it in
 * camelCase (`maxTokens`), which no provider knows, is passed on too: a process warning (`HolySheepWarning`) tells it once.
 */
export interface ChatRequest extends ChatRequestFields {
  [field: string]: unknown
}

/** Tokens that a call has used, as the provider counts them. */
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
  /** What the provider wants to have back with the call, such as Gemini's thought signature. */
  extra_content?: unknown
}

/** The piece of a tool call that one chunk brings. */
export interface ToolCallDelta {
  index: number
  id?: string
  type?: 'function'
  function?: { name?: string; arguments?: string }
  /** What the provider wants to have back with the call, such as Gemini's thought signature. */
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
      /** Reasoning, where the provider shows it. */
      reasoning_content?: string | null
      tool_calls?: ToolCallDelta[]
    }
    finish_reason: FinishReason | null
    logprobs?: any
  }>
  usage?: Usage | null
  system_fingerprint?: string
}

/** An answer in one piece: OpenAI's `chat.completion`. */
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
  /** The provider's id of the request that brought the answer. Not enumerable. */
  readonly _request_id?: string | null
  /** What all attempts have cost together, in USD; null where a price is not known. Not enumerable. */
  readonly _cost_usd?: number | null
  /** The endpoint that answered; of a continued answer, the one that finished it. Not enumerable. */
  readonly _endpoint?: string
  /** The model that was asked last, by our name for it: another than the requested one after a fallback. Not enumerable. */
  readonly _model?: string
  /** What was tried, the attempt that answered included. Not enumerable. */
  readonly _attempts?: AttemptRecord[]
  /** The session that every attempt belonged to (`x-session-id`). Not enumerable. */
  readonly _session_id?: string
}
