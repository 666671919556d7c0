// The provider of this example where there is no key: a simulator that has a bad day on request.
import { startSimulator } from 'holysheep/simulator'

const ANSWER =
  'A provider that breaks off in mid-sentence is no reason for half an answer. The client asks for the rest, takes off ' +
  'what comes twice, and goes on where it was: the reader sees one text, in order, without a seam. Xin chào! 🐑'

const HEALTHY = { text: ANSWER, chunkChars: 5, chunkDelayMs: 20, onContinue: 'word' }

/** What can be wrong with it, by name. */
const FAULTS = {
  none: HEALTHY,
  cut: HEALTHY,
  slow: { ...HEALTHY, firstTokenDelayMs: 3000 },
  busy: { status: 429, retryAfter: 90 },
  outage: { status: 503 },
}
export const FAULT_NAMES = Object.keys(FAULTS)

/** Every answer breaks off once, in the middle; whoever asks for the rest gets it. */
const CUTS = Array.from({ length: 200 }, () => [
  { ...HEALTHY, disconnect: { afterChunks: 27, how: 'reset' } },
  HEALTHY,
]).flat()

/** A simulator with a switch. `set` throws for a name that is none of `FAULT_NAMES`. */
export async function startProvider(fault = 'none') {
  const simulator = await startSimulator()
  const set = (name) => {
    if (!FAULT_NAMES.includes(name)) throw new TypeError(`fault: got '${name}'; accepted: ${FAULT_NAMES.join(', ')}`)
    simulator.reset()
    simulator.setDefault(FAULTS[name])
    if (name === 'cut') simulator.script(...CUTS)
  }
  set(fault)
  return { url: simulator.url, set, close: () => simulator.close() }
}
