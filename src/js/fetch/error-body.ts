/** The body of an error response: as the provider sent it if the SDK finds the cause in it, or else in the SDK's shape. */
import type { HolySheepError } from '../errors'
import { stringify } from '../own'

/** Whose shape an error has: OpenAI's `{ error: { message, type, code, param } }` or Anthropic's `{ type, error }`. */
export type SDK = 'openai' | 'anthropic'

/** Anthropic API reference, "Errors". */
const ANTHROPIC_TYPES: Record<number, string> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

type Fields = Record<string, unknown>

/** `isResponse`: the error is the whole response, and not an event inside a response with status 200. */
export function errorBody(
  error: HolySheepError,
  sdk: SDK,
  status: number,
  contentType: string | null,
  isResponse: boolean,
): { body: string; contentType: string } {
  const text = error.body
  const json = parse(text)
  if (
    text !== undefined &&
    json === undefined &&
    isResponse &&
    isText(text) &&
    !/json|event-stream/.test(contentType ?? '')
  ) {
    return { body: text, contentType: contentType ?? 'text/plain; charset=utf-8' }
  }
  const body =
    text !== undefined && isShaped(json, sdk) ? text : (stringify(shaped(error, sdk, status, json)) as string)
  return { body, contentType: 'application/json' }
}

/** Whether the SDK finds the message where it looks for it. */
function isShaped(json: unknown, sdk: SDK): boolean {
  const { type, error } = fieldsOf(json)
  const inner = fieldsOf(error)
  if (typeof inner.message !== 'string' || inner.message === '') return false
  return sdk === 'openai' || (type === 'error' && typeof inner.type === 'string')
}

/** The error in the SDK's shape. What the provider sent besides is kept. */
function shaped(error: HolySheepError, sdk: SDK, status: number, json: unknown): Fields {
  // Gemini sends a list of one.
  const sent = fieldsOf(Array.isArray(json) ? json[0] : json)
  const inner = fieldsOf(sent.error)
  // An SDK adds the status itself, so the client's sentence is the last choice.
  const sentMessage = typeof inner.message === 'string' && inner.message !== '' ? inner.message : undefined
  const message = sentMessage ?? error.providerMessage ?? error.message
  // The type of an event says only that it is an error.
  const type = error.type === 'error' ? undefined : error.type
  if (sdk === 'anthropic') {
    const defaultType = ANTHROPIC_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
    return { ...sent, type: 'error', error: { ...inner, type: type ?? defaultType, message } }
  }
  const { providerCode, code, param = null } = error
  return { ...sent, error: { ...inner, message, type: type ?? null, param, code: providerCode ?? code } }
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

/** Whether this is text, and not bytes that were read as text. */
function isText(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they distinguish bytes from text
  return !/[\0-\x08\x0e-\x1a\x1c-\x1f\ufffd]/.test(text)
}

/** The JSON of a text; undefined if it is not JSON. */
function parse(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '')
  } catch {
    return undefined
  }
}
