/** Whether the reason that an error names can be one: by the bytes of the case and by what else fails. */
import { isObject } from './answer.mjs'

const TRUNCATED = ['STREAM_INTERRUPTED', 'STREAM_TRUNCATED']
/** Errors that the provider reports. */
export const PROVIDER =
  /^(APIError|HTTP \d+|SERVER_ERROR|RATE_LIMITED|QUOTA_EXHAUSTED|CONTEXT_LENGTH_EXCEEDED|INVALID_REQUEST)$/
const CONNECTION = ['ECONNRESET', 'ECONNFAILED']

/** The code of the last cause that is an error of this package, or the status of a response that was made of one. */
export const codeOf = (error) => lastOf(error)?.code ?? (error.status ? `HTTP ${error.status}` : error.constructor.name)

export const messageOf = (error) => (lastOf(error) ?? error).message

function lastOf(error) {
  const causes = []
  for (let cause = error; cause && causes.length < 8; cause = cause.cause) causes.push(cause)
  return causes.findLast((cause) => typeof cause.code === 'string' && cause.attempts)
}

export function holds(c, sdk, error) {
  const code = codeOf(error)
  // `openai` over `createFetch` fails by itself, as it does alone.
  if (error.constructor === sdk.error?.constructor && error.message === sdk.error.message) return true
  if (TRUNCATED.includes(code)) return Boolean(sdk.error) || isCutOff(sdk) || isInterrupted(c)
  if (CONNECTION.includes(code)) return c.framing.reset === true
  if (code === 'EMPTY_ANSWER') return isEmpty(c.intended.lenient) || isEmpty(sdk.lenient)
  if (code === 'MALFORMED_RESPONSE') return isMalformed(c, sdk)
  if (code === 'RESPONSE_TOO_LARGE') return false
  return PROVIDER.test(code) && hasError(c)
}

/** A choice has no finish reason. */
const isCutOff = ({ strict: { choices } }) => choices.length === 0 || choices.some((choice) => !choice.finish)

/** A finish reason reports that the provider interrupted the answer. */
export const isInterrupted = (c) =>
  c.intended.lenient.choices.some((choice) => /error|abort|fail/i.test(choice.finish ?? '')) ||
  c.events.some((event) => event?.choices?.some?.((choice) => /error|abort|fail/i.test(String(choice?.finish_reason))))

export const isEmpty = ({ choices }) =>
  choices.every(({ text, reasoning, refusal, tools }) => !text && !reasoning && !refusal && tools.length === 0)

export const hasInvalidArguments = (c) =>
  [c.intended.strict, c.intended.lenient].some(({ choices }) =>
    choices.some(({ tools }) => tools.some(([, , args]) => !isJson(args))),
  )

/** Where the package stops at an earlier error, it has not seen the event in which a byte was replaced. */
const isMalformed = (c, sdk) =>
  sdk.error instanceof SyntaxError || (sdk.error && c.framing.replaced) || hasInvalidArguments(c) || isCutOff(sdk)

/** Whether one of the events is an error, in any of its forms. */
export const hasError = (c) => c.events.some(isError) || c.items.some(({ event }) => event === 'error')

const isError = (event) =>
  isObject(event) &&
  (Boolean(event.error) ||
    (!event.choices && Boolean(event.message || event.detail)) ||
    (Array.isArray(event.choices) && event.choices.some((choice) => choice?.error)))

export function isJson(text) {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
