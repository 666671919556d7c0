// A model of `holysheep/ai-sdk` with a simulated provider.
import { createHolySheep } from '../../ai-sdk.mjs'
import { CHUNKS, KEY, provider, QUICK } from './provider.mjs'

export const RESET = { afterChunks: 2, how: 'reset' }

export async function setup(t, options, scenario = { chunks: CHUNKS }) {
  const simulator = await provider(t, { default: scenario })
  const holysheep = createHolySheep({ apiKey: KEY, baseUrl: simulator.url, ...QUICK, ...options })
  t.after(() => holysheep.client.close())
  return { simulator, holysheep, model: holysheep('gpt-4.1') }
}
