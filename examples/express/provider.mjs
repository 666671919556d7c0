// The provider of this example when there is no key: a simulator that fails on request.
import { startSimulator } from 'holysheep/simulator'

const ANSWER =
  'When a provider disconnects mid-sentence, half an answer is not good enough. The client asks for the rest, removes ' +
  'duplicate text and continues where it left off: the reader gets one complete text, in order. Xin chào! 🐑'

const HEALTHY = { text: ANSWER, chunkChars: 5, chunkDelayMs: 20, onContinue: 'word' }

/** The default scenario of each fault. */
const FAULTS = {
  none: HEALTHY,
  disconnect: HEALTHY,
  slow: { ...HEALTHY, firstTokenDelayMs: 3000 },
  busy: { status: 429, retryAfter: 90 },
  outage: { status: 503 },
}
export const FAULT_NAMES = Object.keys(FAULTS)

/** Every answer is interrupted once in the middle, and the request for the rest succeeds. */
const DISCONNECTS = Array.from({ length: 200 }, () => [
  { ...HEALTHY, disconnect: { afterChunks: 27, how: 'reset' } },
  HEALTHY,
]).flat()

/** Starts a simulator whose fault can be changed. `set` throws for a name that is not in `FAULT_NAMES`. */
export async function startProvider(fault = 'none') {
  const simulator = await startSimulator()
  const set = (name) => {
    if (!FAULT_NAMES.includes(name)) throw new TypeError(`fault: got '${name}'; accepted: ${FAULT_NAMES.join(', ')}`)
    simulator.reset()
    simulator.setDefault(FAULTS[name])
    if (name === 'disconnect') simulator.script(...DISCONNECTS)
  }
  set(fault)
  return { url: simulator.url, set, close: () => simulator.close() }
}
