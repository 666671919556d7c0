/** The `logger` option: writes one line for each event of a call. */
import type { ClientEvent } from '../../index'
import type { Logger } from '../../types/observability'
import { invalid, oneLine } from './errors'
import { notify } from './options'

type Level = 'debug' | 'info' | 'warn' | 'error'
const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error']

/** Checks a logger, and returns an event listener that writes to it. */
export function readLogger(logger: unknown): ((event: ClientEvent) => void) | undefined {
  if (logger === undefined || logger === null || logger === false) return undefined
  const has = (level: Level) => typeof (logger as Logger)[level] === 'function'
  if ((typeof logger !== 'object' && typeof logger !== 'function') || !LEVELS.some(has)) {
    throw invalid('logger', logger, 'an object with debug, info, warn and error, such as console or pino')
  }
  // pino and bunyan expect the object before the message. Others print an object after it.
  const { bindings, addStream } = logger as { bindings?: unknown; addStream?: unknown }
  const objectFirst = typeof bindings === 'function' || typeof addStream === 'function'
  const write = ([level, message, fields]: LogLine) => {
    const log = logger as Required<Logger>
    return objectFirst ? log[level](fields, message) : log[level](message, fields)
  }
  return (event) => {
    const [level, message] = describe(event)
    if (!has(level)) return
    const { type, ...fields } = event
    // Names of models and endpoints may come from anywhere too.
    notify('logger', write, [level, oneLine(message), { event: type, ...fields }] as LogLine)
  }
}

type LogLine = [Level, string, object]

function describe(event: ClientEvent): [Level, string] {
  switch (event.type) {
    case 'attempt':
      return ['debug', `holysheep: attempt ${event.attempt} (${event.reason}) ${at(event)}`]
    case 'first-token':
      return ['debug', `holysheep: first token after ${event.firstTokenMs} ms ${at(event)}`]
    case 'attempt-failed':
      return ['warn', `holysheep: attempt ${event.attempt} ${at(event)} failed: ${event.code}: ${event.message}`]
    case 'hedge-lost':
      return ['debug', `holysheep: attempt ${event.attempt} ${at(event)} was canceled: the other attempt was faster`]
    case 'wait':
      return ['info', `holysheep: waiting ${event.ms} ms (${event.reason})`]
    case 'retry-budget':
      return ['warn', `holysheep: no retry: the retry budget of the ${event.budget} is exhausted`]
    case 'fallback':
      return [
        'warn',
        `holysheep: failing over from ${event.fromEndpoint} (${event.fromModel}) to ${event.endpoint} (${event.model})`,
      ]
    case 'recovery':
      return [
        'warn',
        `holysheep: the answer was interrupted after ${event.received} characters; continuing ${at(event)}`,
      ]
    case 'recovery-disabled':
      return ['warn', `holysheep: the answer takes more than ${event.maxBytes} bytes: it is not recovered if it breaks`]
    case 'circuit': {
      const level = event.to === 'OPEN' ? 'warn' : 'info'
      return [level, `holysheep: circuit ${event.from} → ${event.to} ${at(event)}`]
    }
    case 'implausible-usage':
      return ['warn', `holysheep: a usage that the request cannot have caused was not counted ${at(event)}`]
    case 'soft-limit':
      return ['warn', `holysheep: ${event.spentUsd} USD spent, above the soft limit of ${event.softLimitUsd} USD`]
    case 'complete':
      return [
        'debug',
        `holysheep: complete after ${event.durationMs} ms and ${attemptCount(event.attempts)} ${at(event)}`,
      ]
    case 'failed':
      return ['error', `holysheep: failed after ${event.durationMs} ms: ${event.code}: ${event.message}`]
    default:
      // An event type that this version does not know.
      return ['debug', `holysheep: ${(event as { type: string }).type}`]
  }
}

function attemptCount(attempts: number): string {
  return `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`
}

function at({ endpoint, model }: { endpoint: string; model: string }): string {
  return `at ${endpoint} (${model})`
}
