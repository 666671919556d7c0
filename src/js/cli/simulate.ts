/** `holysheep simulate`: runs the simulator as a server. */
import { readFileSync } from 'node:fs'
import { startSimulator } from '../simulator'
import { clearInterval, setInterval } from '../timers'
import { defined, parse, UsageError, wholeNumber } from './args'

export const HELP = `holysheep simulate [options]   an OpenAI-compatible provider that misbehaves on request

  --port N          the port; any free port by default
  --host HOST       the address; 127.0.0.1 by default
  --tls             use TLS with HTTP/2, and print the certificate to trust
  --seed N          the seed of ids and chunk sizes; 1 by default
  --answer TEXT     the answer to every request
  --key KEY         reject every other key
  --default JSON    the scenario of every request, e.g. '{"status":503}'
  --script JSON     an array of scenarios, one for each of the first requests; @FILE reads a file

  The types of holysheep/simulator describe scenarios. A request can set its own in the header
  x-simulate.
`

export async function simulate(args: string[]): Promise<void> {
  const { values } = parse(args, {
    port: { type: 'string' },
    host: { type: 'string' },
    tls: { type: 'boolean' },
    seed: { type: 'string' },
    answer: { type: 'string' },
    key: { type: 'string' },
    default: { type: 'string' },
    script: { type: 'string' },
  })
  const script = values.script === undefined ? [] : json('script', values.script)
  if (!Array.isArray(script)) throw new UsageError('--script: accepted: an array of scenarios')
  const options = defined({
    port: wholeNumber('port', values.port),
    host: values.host,
    tls: values.tls,
    seed: wholeNumber('seed', values.seed),
    answer: values.answer,
    apiKey: values.key,
    default: values.default === undefined ? undefined : (json('default', values.default) as object),
  })
  const simulator = await startSimulator(options)
  simulator.script(...script)
  process.stdout.write(`listening on ${simulator.url}\n`)
  if (simulator.certificate) process.stdout.write(simulator.certificate)
  // The simulator itself does not keep a process alive.
  const alive = setInterval(() => {}, 2 ** 30)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      clearInterval(alive)
      await simulator.close()
    })
  }
}

function json(name: string, text: string): unknown {
  let source = text
  try {
    if (text.startsWith('@')) source = readFileSync(text.slice(1), 'utf8')
  } catch (error) {
    throw new UsageError(`--${name}: ${(error as Error).message}`)
  }
  try {
    return JSON.parse(source)
  } catch (error) {
    // V8's message may quote several lines of the text.
    const reason = (error as Error).message.replace(/\s+/g, ' ')
    throw new UsageError(`--${name}: invalid JSON: ${reason}`)
  }
}
