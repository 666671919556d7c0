/** Shared by the commands: parsing arguments and reporting errors. */
import { parseArgs } from 'node:util'
import { environment } from '../own'

/** A mistake on the command line, reported without a stack. */
export class UsageError extends Error {}

type Options = Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }>

/** Parses arguments. The error of an unknown option suggests the nearest one. */
export function parse<T extends Options>(args: string[], options: T, allowPositionals = false) {
  const all = { ...options, help: { type: 'boolean', short: 'h' } } as const
  try {
    return parseArgs({ args, options: all, allowPositionals })
  } catch (thrown) {
    const { code, message } = thrown as Error & { code?: string }
    const option = message.match(/'(-[^' ]*)/)?.[1] ?? ''
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
      const known = Object.keys(all).map((name) => `--${name}`)
      const near = nearest(option.split('=')[0] as string, known)
      throw new UsageError(`unknown option '${option}'${near ? `; did you mean ${near}?` : ''}`)
    }
    if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
      throw new UsageError(`unexpected argument ${message.match(/'[^']*'/)?.[0] ?? ''}`)
    }
    // Only the first sentence of Node's message is useful here.
    throw new UsageError(message.split(/\n|\. /)[0] as string)
  }
}

/** The nearest known word that differs in at most two letters, or a third of them. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, distance: distance(word, name) }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)))
  return ranked.sort((a, b) => a.distance - b.distance)[0]?.name
}

/** The Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}

/** Parses an integer option. */
export function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) throw new UsageError(`--${name}: got '${text}'; accepted: a whole number`)
  return Number(text)
}

/** Removes undefined members. */
export function defined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>
}

/** The client options for these endpoints. The key from the environment goes to each endpoint that the user has named. */
export function clientOptions(endpoints: string[] | undefined) {
  const apiKey = environment('HOLYSHEEP_API_KEY')?.trim() || undefined
  const baseUrl = environment('HOLYSHEEP_BASE_URL')
  const urls = endpoints ?? (baseUrl ? [baseUrl] : undefined)
  if (!urls) return defined({ apiKey })
  return { endpoints: urls.map((baseUrl) => defined({ baseUrl, apiKey }) as { baseUrl: string; apiKey?: string }) }
}

export const REMEDIES: Record<string, string> = {
  AUTH_FAILED: 'The provider rejected the key: check HOLYSHEEP_API_KEY, and that it belongs to this endpoint.',
  QUOTA_EXHAUSTED: 'The quota of this key is exhausted: waiting does not help.',
  RATE_LIMITED: 'Too many requests for this key: try again later.',
  ENOTFOUND: 'The host name cannot be resolved: check --endpoint and the network (npx holysheep doctor).',
  ECONNREFUSED: 'Nothing listens there: check --endpoint, and whether the server is running.',
  ECONNRESET: 'The connection was reset: try again, or check the network (npx holysheep doctor).',
  EHOSTUNREACH: 'The host cannot be reached: check the network and the proxy (npx holysheep doctor).',
  ECONNFAILED: 'The connection failed: check the network and the proxy (npx holysheep doctor).',
  ERR_TLS: 'To trust a private certificate authority, set NODE_EXTRA_CA_CERTS=FILE.',
  TIMEOUT: 'The provider took too long: try again, or use another --model or --endpoint.',
  SERVER_ERROR: 'The provider failed: try again later, or use another --model or --endpoint.',
  CONTEXT_LENGTH_EXCEEDED: 'The prompt is too long for this model: shorten it, or use another --model.',
  MALFORMED_RESPONSE: 'Is --endpoint the base URL of an OpenAI-compatible API, up to and including /v1?',
  INVALID_REQUEST: 'Check --model and --endpoint (the base URL, up to and including /v1).',
  STREAM_INTERRUPTED: 'The answer was interrupted and could not be continued: the text received is above.',
}

interface CodedError extends Error {
  code?: string
  phase?: string
}

/** An error's message and its remedy, in at most two lines. The message of an invalid argument is not truncated. */
export function explain(error: unknown, remedies = REMEDIES): { code?: string; message: string; remedy?: string } {
  const { code, message, phase, cause } = error as CodedError & { cause?: CodedError }
  const root = code === 'RETRIES_EXHAUSTED' && cause ? cause : { code, message, phase }
  const line = String(message ?? error).split('\n')[0] as string
  const isLong = line.length > 400 && code !== 'INVALID_ARGUMENT'
  return { code, message: isLong ? `${line.slice(0, 399)}…` : line, remedy: remedyOf(root, remedies) }
}

function remedyOf({ code = '', phase, message }: Partial<CodedError>, remedies: Record<string, string>) {
  // This message already says what to do.
  if (message?.includes('speak plain HTTP?')) return undefined
  if (code === 'TIMEOUT' && phase === 'connect') return remedies.EHOSTUNREACH
  return remedies[code]
}
