/** What the commands share: arguments, mistakes and how they are told. */
import { parseArgs } from 'node:util'

/** A mistake of the user: told in a line or two, without a stack. */
export class UsageError extends Error {}

type Options = Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }>

/** Parses arguments. An option that does not exist gets the one that was probably meant. */
export function parse<T extends Options>(args: string[], options: T, allowPositionals = false) {
  const all = { ...options, help: { type: 'boolean', short: 'h' } } as const
  try {
    return parseArgs({ args, options: all, allowPositionals })
  } catch (thrown) {
    const { code, message } = thrown as Error & { code?: string }
    const given = message.match(/'(-[^' ]*)/)?.[1] ?? ''
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
      const known = Object.keys(all).map((name) => `--${name}`)
      const near = nearest(given.split('=')[0] as string, known)
      throw new UsageError(`unknown option '${given}'${near ? `; did you mean ${near}?` : ''}`)
    }
    if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
      throw new UsageError(`unexpected argument ${message.match(/'[^']*'/)?.[0] ?? ''}`)
    }
    // The rest of Node's message is about its own ways.
    throw new UsageError(message.split(/\n|\. /)[0] as string)
  }
}

/** A word among these that differs in no more than two letters, or a third of them. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, distance: distance(word, name) }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)))
  return ranked.sort((a, b) => a.distance - b.distance)[0]?.name
}

/** Levenshtein's distance. */
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

/** A whole number out of an option. */
export function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) throw new UsageError(`--${name}: got '${text}'; accepted: a whole number`)
  return Number(text)
}

/** An object without what is undefined. */
export function given<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>
}

/** The options of a client for these endpoints; the key of the environment goes to what the user has named. */
export function clientOptions(endpoints: string[] | undefined) {
  const apiKey = process.env.HOLYSHEEP_API_KEY?.trim() || undefined
  const urls = endpoints ?? (process.env.HOLYSHEEP_BASE_URL ? [process.env.HOLYSHEEP_BASE_URL] : undefined)
  if (!urls) return given({ apiKey })
  return { endpoints: urls.map((baseUrl) => given({ baseUrl, apiKey }) as { baseUrl: string; apiKey?: string }) }
}

export const REMEDIES: Record<string, string> = {
  AUTH_FAILED: 'The provider does not accept the key: check HOLYSHEEP_API_KEY, and that it belongs to this endpoint.',
  QUOTA_EXHAUSTED: 'No credit is left for this key: waiting does not help.',
  RATE_LIMITED: 'Too many requests for this key: try again later.',
  ENOTFOUND: 'The name is not known: check --endpoint and the network (npx holysheep doctor).',
  ECONNREFUSED: 'Nothing answers there: check --endpoint, and whether the server runs.',
  ECONNRESET: 'The connection was cut: try again, or look at the network (npx holysheep doctor).',
  EHOSTUNREACH: 'There is no way to the host: look at the network and the proxy (npx holysheep doctor).',
  ECONNFAILED: 'The connection failed: look at the network and the proxy (npx holysheep doctor).',
  ERR_TLS: 'A certificate of a company or of your own is trusted through NODE_EXTRA_CA_CERTS=FILE.',
  TIMEOUT: 'The provider took too long: try again, or another --model or --endpoint.',
  SERVER_ERROR: "The fault is the provider's: try again later, or another --model or --endpoint.",
  CONTEXT_LENGTH_EXCEEDED: 'The prompt is too long for this model: shorten it, or take another --model.',
  MALFORMED_RESPONSE: 'Is --endpoint the base URL of an OpenAI-compatible API, up to and including /v1?',
  INVALID_REQUEST: 'Check --model and --endpoint (the base URL, up to and including /v1).',
  STREAM_INTERRUPTED: 'The answer broke off, and could not be taken up again: what came is above.',
}

interface Told extends Error {
  code?: string
  phase?: string
}

/** What happened and what can be done, in at most two lines. A wrong argument is told whole, with all that is accepted. */
export function explain(error: unknown, remedies = REMEDIES): { code?: string; message: string; remedy?: string } {
  const { code, message, phase, cause } = error as Told & { cause?: Told }
  const root = code === 'RETRIES_EXHAUSTED' && cause ? cause : { code, message, phase }
  const line = String(message ?? error).split('\n')[0] as string
  const isLong = line.length > 400 && code !== 'INVALID_ARGUMENT'
  return { code, message: isLong ? `${line.slice(0, 399)}…` : line, remedy: remedyOf(root, remedies) }
}

function remedyOf({ code = '', phase, message }: Partial<Told>, remedies: Record<string, string>) {
  // It says itself what to write.
  if (message?.includes('speak plain HTTP?')) return undefined
  if (code === 'TIMEOUT' && phase === 'connect') return remedies.EHOSTUNREACH
  return remedies[code]
}
