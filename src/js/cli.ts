/** The command line: `npx holysheep chat | doctor | simulate`. */
import { explain, nearest, UsageError } from './cli/args'
import { printableLine } from './cli/terminal'

/** Each command is loaded on demand, so that `doctor` runs even if the addon does not load. */
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

  holysheep chat [options] [PROMPT]   asks a model, and streams the answer to stdout
  holysheep doctor [options]          checks the addon, certificates, proxy, key, endpoint and clock
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
  } else if (command === 'help' || requestsHelp(rest)) {
    process.stdout.write(load().HELP)
  } else {
    await load().run(rest)
  }
}

/** Whether the arguments have a help option. After `--` there are no options. */
function requestsHelp(args: string[]): boolean {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of the pipe has exited (`| head`).
  if (error.code !== 'EPIPE') throw error
})

main(process.argv.slice(2)).catch((error: Error & { code?: string }) => {
  const isUsage = error instanceof UsageError || error.code === 'INVALID_ARGUMENT'
  process.exitCode = isUsage ? 2 : 1
  // An error with a code has a message for the user. Any other is a bug, so its stack is printed.
  const isKnown = isUsage || (typeof error.code === 'string' && error.code !== 'INTERNAL')
  const { message, remedy } = explain(error)
  process.stderr.write(
    isKnown ? `holysheep: ${printableLine(message)}\n${remedy ? `  ${remedy}\n` : ''}` : `holysheep: ${error.stack}\n`,
  )
})
