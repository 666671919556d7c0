/** Native continuation: providers that continue the assistant turn of a broken answer themselves. */

/** How a request tells the provider to continue the assistant turn. */
export type ContinuationForm =
  /** `continue_final_message: true` and `add_generation_prompt: false` in the body: vLLM, SGLang, TGI, tabbyAPI. */
  | 'continue_final_message'
  /** `prefix: true` in the last message: Mistral, DeepSeek (with a base URL that ends in `/beta`), LiteLLM. */
  | 'prefix'
  /** `partial: true` in the last message: Kimi, and Qwen in Alibaba's Model Studio, if they do not reason first. */
  | 'partial'
  /** Nothing but the assistant's message at the end: llama-server, LMDeploy, and Claude up to 4.5. */
  | 'assistant'

/** Options of `probeContinuation`. */
export interface ContinuationProbeOptions {
  /** The names of endpoints of the client, at least one. All of them by default. */
  endpoints?: string[]
  /** Models, at least one. The client's `model` and `fallbackModels` by default. */
  models?: string[]
  /** `messages` for Anthropic's dialect (`createFetch`): there only the form `assistant` is asked. `'chat'` by default. */
  dialect?: 'chat' | 'messages'
  /** The deadline of each request, in milliseconds. The client's by default. */
  totalTimeoutMs?: number
  /** Aborts the probe: it rejects with `signal.reason`, and what was not decided by then is not remembered. */
  signal?: AbortSignal
}

/** What a probe has found of one model at one endpoint. */
export interface ProbedContinuation {
  /** The name of the endpoint. */
  endpoint: string
  model: string
  /** The form in which the provider continues; `none`: it does in no form; null: a request failed, so it is not known. */
  continuation: ContinuationForm | 'none' | null
  /** The forms that were asked, in their order. The first one that is continued is the last one asked. */
  forms: ProbedForm[]
}

/** How a provider answered one form. */
export interface ProbedForm {
  form: ContinuationForm
  /**
   * `continued`: it continued the turn. `new-turn`: it wrote something else, or nothing. `rejected`: it answered with a 400 or
   * 422. `failed`: the request failed otherwise, and no other form was asked.
   */
  outcome: 'continued' | 'new-turn' | 'rejected' | 'failed'
  /** The beginning of what it wrote in a new turn. */
  text?: string
  /** The status of an error, if there was a response. */
  status?: number
  /** The code of an error. */
  code?: string
  /** The message of an error. */
  error?: string
}
