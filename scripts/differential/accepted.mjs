/** The accepted differences from the `openai` package, each with its reason. */
import { breaksOff, isEmpty, isError, PROVIDER } from './reasons.mjs'

export const ACCEPTED = [
  {
    name: 'a finish reason that says that the answer was broken off is an error',
    when: (c, { code }) => code === 'STREAM_TRUNCATED' && breaksOff(c),
  },
  {
    name: 'an error is one wherever it stands: the package reads only the `error` of an event',
    when: (c, { code }) => PROVIDER.test(code) && c.events.some(isError),
  },
  {
    name: 'an answer without content is an error',
    when: (_, { code, sdk }) => code === 'EMPTY_ANSWER' && isEmpty(sdk.lenient),
  },
  {
    name: 'tool calls whose arguments are not JSON are an error',
    when: (_, { detail = '', sdk }) =>
      /not valid JSON/.test(detail) && [sdk.strict, sdk.lenient].some((answer) => hasInvalidCall(answer)),
  },
]

const hasInvalidCall = ({ choices }) => choices.some(({ tools }) => tools.some(([, , args]) => !isJson(args)))

function isJson(text) {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
