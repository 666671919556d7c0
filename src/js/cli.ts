/** The command line: `npx holysheep simulate`. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { version } from './index'
import { startSimulator } from './simulator'

const HELP = `holysheep ${version}

  holysheep simulate [options]   an OpenAI-compatible provider that misbehaves on request

    --port N          the port; by default any free one
    --host HOST       the address; 127.0.0.1 by default
    --tls             TLS with HTTP/2; the certificate to trust is printed
    --seed N          makes ids and piece sizes; 1 by default
    --answer TEXT     what it answers
    --key KEY         refuse every other key
    --default JSON    the scenario of every request, e.g. '{"status":503}'
    --script JSON     an array of scenarios for the first requests, one each; @FILE reads a file

  Scenarios are described in the types of holysheep/simulator. A request can bring its own in the
  header x-simulate.
`

/** A mistake of the user: told in one line, without a stack. */
class UsageError extends Error {}

function json(name: string, text: string): unknown {
  const source = text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text
  try {
    return JSON.parse(source)
  } catch {
    throw new UsageError(`--${name}: no valid JSON`)
  }
}

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) throw new UsageError(`--${name}: got '${text}'; accepted: a whole number`)
  return Number(text)
}

async function simulate(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string' },
      host: { type: 'string' },
      tls: { type: 'boolean' },
      seed: { type: 'string' },
      answer: { type: 'string' },
      key: { type: 'string' },
      default: { type: 'string' },
      script: { type: 'string' },
    },
  })
  const simulator = await startSimulator(
    Object.fromEntries(
      Object.entries({
        port: whole('port', values.port),
        host: values.host,
        tls: values.tls,
        seed: whole('seed', values.seed),
        answer: values.answer,
        apiKey: values.key,
        default: values.default && json('default', values.default),
      }).filter(([, value]) => value !== undefined),
    ),
  )
  if (values.script) {
    const scenarios = json('script', values.script)
    if (!Array.isArray(scenarios)) throw new UsageError('--script: accepted: an array of scenarios')
    simulator.script(...scenarios)
  }
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

async function main(args: string[]) {
  const [command, ...rest] = args
  if (command === undefined || command === 'help' || args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP)
    if (command === undefined) process.exitCode = 2
  } else if (command === '--version' || command === '-v') {
    process.stdout.write(`${version}\n`)
  } else if (command === 'simulate') {
    await simulate(rest)
  } else {
    throw new UsageError(`unknown command '${command}'; see holysheep --help`)
  }
}

main(process.argv.slice(2)).catch((error: Error & { code?: string }) => {
  const users =
    error instanceof UsageError || error.code === 'INVALID_ARGUMENT' || error.code?.startsWith('ERR_PARSE_ARGS')
  // The system's: a port that is taken, a file that is not there.
  const plain = users || /^E[A-Z]+$/.test(error.code ?? '')
  process.stderr.write(plain ? `holysheep: ${error.message.split('\n')[0]}\n` : `holysheep: ${error.stack}\n`)
  process.exitCode = users ? 2 : 1
})
