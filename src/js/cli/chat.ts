/** `holysheep chat`: asks a model, and streams the answer to stdout. */
import type { ClientEvent } from '../../../index'
import { HolySheepStreamingClient } from '../client'
import { oneLine } from '../errors'
import { clearTimeout, setTimeout, type Timer } from '../timers'
import { clientOptions, defined, explain, parse, UsageError, wholeNumber } from './args'
import { printableJson, TerminalFilter } from './terminal'

export const HELP = `holysheep chat [options] [PROMPT]   asks a model, and streams the answer to stdout

  PROMPT            the prompt; read from stdin if it is missing or -

  -m, --model NAME  the model; gpt-4.1 by default
  -e, --endpoint URL   a base URL up to and including /v1, or a host; repeat it for fallback endpoints
  -s, --system TEXT    a system message before the prompt
      --max-tokens N   the maximum length of the answer
      --json           one JSON object per line: {"type":"text","text"} for each delta, then {"type":"result"} or
                       {"type":"error"}
  -v, --verbose     log attempts, waits and recoveries to stderr; on a terminal, warnings are shown without it until
                    the answer begins

  The key is read from HOLYSHEEP_API_KEY, the endpoint also from HOLYSHEEP_BASE_URL.
  Exit code: 0, 1 if the call failed, 2 for a usage error, 130 after Ctrl-C.
`

/** How long to wait for the first token before saying so. */
const NOTICE_MS = 3000

export async function chat(args: string[]): Promise<void> {
  const { values, positionals } = parse(
    args,
    {
      model: { type: 'string', short: 'm' },
      endpoint: { type: 'string', short: 'e', multiple: true },
      system: { type: 'string', short: 's' },
      'max-tokens': { type: 'string' },
      json: { type: 'boolean' },
      verbose: { type: 'boolean', short: 'v' },
    },
    true,
  )
  const maxTokens = wholeNumber('max-tokens', values['max-tokens'])
  const options = clientOptions(values.endpoint)
  if (!('endpoints' in options) && !options.apiKey) {
    throw new UsageError('no key: set HOLYSHEEP_API_KEY, or use an --endpoint that needs none')
  }
  const waitNotice = new WaitNotice()
  const logger = values.verbose
    ? { debug: log, info: log, warn: log, error: log }
    : // On a terminal, a warning must not appear in the middle of the answer.
      process.stderr.isTTY && { warn: (message: string) => waitNotice.isDone || log(message) }
  const showsNotice = values.verbose || process.stderr.isTTY
  const onEvent = showsNotice ? (event: ClientEvent) => waitNotice.onEvent(event) : undefined
  const client = new HolySheepStreamingClient({ ...options, logger, onEvent })
  const content = await promptOf(positionals)
  const system = values.system === undefined ? [] : [{ role: 'system', content: values.system }]
  const request = defined({
    messages: [...system, { role: 'user', content }],
    model: values.model,
    max_tokens: maxTokens,
  }) as { messages: object[] }

  const interrupted = new AbortController()
  const interrupt = (code: number) => {
    process.exitCode = code
    interrupted.abort()
  }
  process.once('SIGINT', () => interrupt(130))
  process.once('SIGTERM', () => interrupt(143))
  // The reader of the pipe has exited (`| head`).
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') interrupt(0)
  })
  const write = (text: string) => new Promise<void>((resolve) => process.stdout.write(text, () => resolve()))
  const writeJson = (object: object) => write(`${printableJson(object)}\n`)
  const terminal = process.stdout.isTTY ? new TerminalFilter() : undefined

  let last = '\n'
  try {
    const stream = client.stream(request, { signal: interrupted.signal })
    for await (const text of stream.textStream) {
      waitNotice.end()
      last = text
      await (values.json ? writeJson({ type: 'text', text }) : write(terminal?.filter(text) ?? text))
    }
    const { text: _text, ...result } = await stream.result
    if (values.json) await writeJson({ type: 'result', ...result })
  } catch (error) {
    if (interrupted.signal.aborted) return
    process.exitCode = 1
    if (values.json) await writeJson({ type: 'error', ...explain(error) })
    else throw error
  } finally {
    waitNotice.end()
    const rest = terminal?.end()
    if (rest && !values.json) await write(rest)
    // The shell prompt starts on a new line.
    if (!values.json && !last.endsWith('\n')) await write('\n')
    await client.close()
  }
}

/** Logs a notice for each attempt whose first token is late. */
class WaitNotice {
  isDone = false
  #timer: Timer | undefined

  onEvent(event: ClientEvent) {
    clearTimeout(this.#timer)
    if (event.type !== 'attempt' || this.isDone) return
    const { attempt, endpoint, model } = event
    const message = `holysheep: attempt ${attempt}: no answer yet from ${endpoint} (${model}); still waiting`
    this.#timer = setTimeout(() => log(message), NOTICE_MS)
  }

  end() {
    this.isDone = true
    clearTimeout(this.#timer)
  }
}

function log(message: string) {
  process.stderr.write(`${oneLine(message)}\n`)
}

async function promptOf(positionals: string[]): Promise<string> {
  const fromStdin = positionals.length === 0 ? !process.stdin.isTTY : positionals.join() === '-'
  const prompt = fromStdin ? await readStdin() : positionals.join(' ')
  if (prompt.trim() === '')
    throw new UsageError('no prompt: pass it as an argument or on stdin (holysheep chat --help)')
  return prompt
}

async function readStdin(): Promise<string> {
  process.stdin.setEncoding('utf8')
  let text = ''
  for await (const part of process.stdin) text += part
  return text
}
