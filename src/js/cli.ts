/** The command line: `npx holysheep chat | doctor | simulate`. */
import { explain, nearest, UsageError } from './cli/args'

/** Each command is loaded when it is asked for: `doctor` runs where the addon does not load. */
const COMMANDS: Record<string, () => { HELP: string; run(args: string[]): Promise<void> }> = {
  chat: () => {
    const { HELP, chat } = require('./cli/chat') as typeof import('./cli/chat')
    return { HELP, run: chat }
  },
  doctor: () => {
    const { HELP, doctor } = require('./cli/doctor') as typeof import('./cli/doctor')
    return { HELP, run: doctor }
  },
  simulate: () => {
    const { HELP, simulate } = require('./cli/simulate') as typeof import('./cli/simulate')
    return { HELP, run: simulate }
  },
}

const { version } = require('../package.json') as { version: string }

const HELP = `holysheep ${version}

  holysheep chat [options] [PROMPT]   asks a model; the answer comes on stdout as it is written
  holysheep doctor [options]          looks at what a call needs: addon, certificates, proxy, key, endpoint, clock
  holysheep simulate [options]        an OpenAI-compatible provider that misbehaves on request

  holysheep COMMAND --help            the options of a command
  holysheep --version
`

async function main(args: string[]) {
  const [command, ...rest] = args
  if (command === undefined || command === '--help' || command === '-h') {
    process.stdout.write(HELP)
    if (command === undefined) process.exitCode = 2
    return
  }
  if (command === '--version' || command === '-v') {
    process.stdout.write(`${version}\n`)
    return
  }
  const name = command === 'help' ? rest[0] : command
  const load = name === undefined ? undefined : Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (name === undefined) {
    process.stdout.write(HELP)
  } else if (!load) {
    const near = nearest(name, Object.keys(COMMANDS))
    throw new UsageError(`unknown command '${name}'${near ? `; did you mean ${near}?` : '; see holysheep --help'}`)
  } else if (command === 'help' || asksForHelp(rest)) {
    process.stdout.write(load().HELP)
  } else {
    await load().run(rest)
  }
}

/** What comes after `--` is no option. */
function asksForHelp(args: string[]): boolean {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader has gone, and with it whoever would care.
  if (error.code !== 'EPIPE') throw error
})

main(process.argv.slice(2)).catch((error: Error & { code?: string }) => {
  const isUsage = error instanceof UsageError || error.code === 'INVALID_ARGUMENT'
  process.exitCode = isUsage ? 2 : 1
  // An error of ours, or of the system, says what happened; anything else is a bug, and its stack says where.
  const isKnown = isUsage || (typeof error.code === 'string' && error.code !== 'INTERNAL')
  const { message, remedy } = explain(error)
  process.stderr.write(
    isKnown ? `holysheep: ${message}\n${remedy ? `  ${remedy}\n` : ''}` : `holysheep: ${error.stack}\n`,
  )
})
