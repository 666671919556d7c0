/** The `logger` option: what happens in calls, in one line each. */
import type { ClientEvent } from '../../index'
import type { Logger } from '../../types/observability'
import { invalid } from './errors'
import { tell } from './options'

type Level = 'debug' | 'info' | 'warn' | 'error'
const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error']

/** Checks a logger; the listener that writes events into it. */
export function readLogger(logger: unknown): ((event: ClientEvent) => void) | undefined {
  if (logger === undefined || logger === null || logger === false) return undefined
  const has = (level: Level) => typeof (logger as Logger)[level] === 'function'
  if ((typeof logger !== 'object' && typeof logger !== 'function') || !LEVELS.some(has)) {
    throw invalid('logger', logger, 'an object with debug, info, warn and error, such as console or pino')
  }
  // pino and bunyan take the object first; who takes the message first prints an object after it.
  const { bindings, addStream } = logger as { bindings?: unknown; addStream?: unknown }
  const objectFirst = typeof bindings === 'function' || typeof addStream === 'function'
  const write = ([level, message, fields]: Line) => {
    const log = logger as Required<Logger>
    return objectFirst ? log[level](fields, message) : log[level](message, fields)
  }
  return (event) => {
    const [level, message] = line(event)
    if (!has(level)) return
    const { type, ...fields } = event
    tell('logger', write, [level, message, { event: type, ...fields }] as Line)
  }
}

type Line = [Level, string, object]

function line(event: ClientEvent): [Level, string] {
  switch (event.type) {
    case 'attempt':
      return ['debug', `holysheep: attempt ${event.attempt} (${event.reason}) ${at(event)}`]
    case 'first-token':
      return ['debug', `holysheep: first token after ${event.firstTokenMs} ms ${at(event)}`]
    case 'attempt-failed':
      return ['warn', `holysheep: attempt ${event.attempt} ${at(event)} failed: ${event.code}: ${event.message}`]
    case 'hedge-lost':
      return ['debug', `holysheep: attempt ${event.attempt} ${at(event)} was given up: another was faster`]
    case 'wait':
      return ['info', `holysheep: waiting ${event.ms} ms (${event.reason})`]
    case 'retry-budget':
      return ['warn', `holysheep: no retry: the retry budget of the ${event.budget} is used up`]
    case 'fallback':
      return ['warn', `holysheep: going on ${at(event)} instead of ${event.fromEndpoint} (${event.fromModel})`]
    case 'recovery':
      return [
        'warn',
        `holysheep: the answer broke off after ${event.received} characters; asking for the rest ${at(event)}`,
      ]
    case 'circuit': {
      const level = event.to === 'OPEN' ? 'warn' : 'info'
      return [level, `holysheep: circuit ${event.from} → ${event.to} ${at(event)}`]
    }
    case 'soft-limit':
      return ['warn', `holysheep: ${event.spentUsd} USD spent, past the soft limit of ${event.softLimitUsd} USD`]
    case 'complete':
      return ['debug', `holysheep: complete after ${event.durationMs} ms and ${counted(event.attempts)} ${at(event)}`]
    case 'failed':
      return ['error', `holysheep: failed after ${event.durationMs} ms: ${event.code}: ${event.message}`]
    default:
      // A type of event that this version does not know.
      return ['debug', `holysheep: ${(event as { type: string }).type}`]
  }
}

function counted(attempts: number): string {
  return `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`
}

function at({ endpoint, model }: { endpoint: string; model: string }): string {
  return `at ${endpoint} (${model})`
}
