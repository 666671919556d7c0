/** `holysheep chat`: one question, its answer on stdout as it comes. */
import type { ClientEvent } from '../../../index'
import { HolySheepStreamingClient } from '../client'
import { clientOptions, explain, given, parse, UsageError, whole } from './args'

export const HELP = `holysheep chat [options] [PROMPT]   asks a model; the answer comes on stdout as it is written

  PROMPT            what to ask; without it, or with -, it is read from stdin

  -m, --model NAME  the model; gpt-4.1 by default
  -e, --endpoint URL   a base URL up to and including /v1, or a host; several are tried in order
  -s, --system TEXT    a system message before the prompt
      --max-tokens N   the longest answer
      --json           one JSON object a line: {"type":"text","text"} for each delta, then {"type":"result"} or
                       {"type":"error"}
  -v, --verbose     attempts, waits and recoveries on stderr; a terminal is told anyway what a late answer waits for

  The key is read from HOLYSHEEP_API_KEY, the endpoint also from HOLYSHEEP_BASE_URL.
  Exit code: 0, 1 where there was no answer, 2 for a wrong option, 130 after Ctrl-C.
`

/** How long nothing is said of an answer that does not come. */
const SILENCE_MS = 3000

async function readStdin(): Promise<string> {
  process.stdin.setEncoding('utf8')
  let text = ''
  for await (const part of process.stdin) text += part
  return text
}

async function promptOf(positionals: string[]): Promise<string> {
  const fromStdin = positionals.length === 0 ? !process.stdin.isTTY : positionals.join() === '-'
  const prompt = fromStdin ? await readStdin() : positionals.join(' ')
  if (prompt.trim() === '')
    throw new UsageError('no prompt: give it as an argument or on stdin (holysheep chat --help)')
  return prompt
}

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
  const maxTokens = whole('max-tokens', values['max-tokens'])
  const options = clientOptions(values.endpoint)
  if (!('endpoints' in options) && !options.apiKey) {
    throw new UsageError('no key: set HOLYSHEEP_API_KEY, or name an --endpoint that needs none')
  }
  const wait = new Wait()
  const logger = values.verbose
    ? { debug: note, info: note, warn: note, error: note }
    : // Where answer and notes share a terminal, only before the answer.
      process.stderr.isTTY && { warn: (message: string) => wait.isOver || note(message) }
  const isTold = values.verbose || process.stderr.isTTY
  const onEvent = isTold ? (event: ClientEvent) => wait.hear(event) : undefined
  const client = new HolySheepStreamingClient({ ...options, logger, onEvent })
  const content = await promptOf(positionals)
  const system = values.system === undefined ? [] : [{ role: 'system', content: values.system }]
  const request = given({
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
  // Whoever read the answer has had enough of it (`| head`).
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') interrupt(0)
  })
  const say = (text: string) => new Promise<void>((resolve) => process.stdout.write(text, () => resolve()))
  const line = (object: object) => say(`${JSON.stringify(object)}\n`)

  let last = '\n'
  try {
    const stream = client.stream(request, { signal: interrupted.signal })
    for await (const text of stream.textStream) {
      wait.end()
      last = text
      await (values.json ? line({ type: 'text', text }) : say(text))
    }
    const { text: _text, ...result } = await stream.result
    if (values.json) await line({ type: 'result', ...result })
  } catch (error) {
    if (interrupted.signal.aborted) return
    process.exitCode = 1
    const told = explain(error)
    if (values.json) await line({ type: 'error', ...told })
    else throw error
  } finally {
    wait.end()
    // The prompt of the shell begins on a line of its own.
    if (!values.json && !last.endsWith('\n')) await say('\n')
    await client.close()
  }
}

/** Says what is waited for while an attempt has brought nothing, once for each attempt. */
class Wait {
  isOver = false
  #timer: NodeJS.Timeout | undefined

  hear(event: ClientEvent) {
    clearTimeout(this.#timer)
    if (event.type !== 'attempt' || this.isOver) return
    const { attempt, endpoint, model } = event
    const message = `holysheep: attempt ${attempt}: no answer yet from ${endpoint} (${model}); still waiting`
    this.#timer = setTimeout(note, SILENCE_MS, message)
  }

  end() {
    this.isOver = true
    clearTimeout(this.#timer)
  }
}

function note(message: string) {
  process.stderr.write(`${message}\n`)
}
