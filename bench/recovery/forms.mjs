// The ways of asking for the rest of an answer, as the client itself lists them: a new style appears here by itself.
import { HolySheepStreamingClient } from '../../index.mjs'

/** What an option accepts, as its error says; empty if there is no such option. */
function accepted(options, path) {
  try {
    void new HolySheepStreamingClient('sk-bench', { baseUrl: 'http://127.0.0.1:1/v1', ...options }).close()
  } catch (error) {
    if (!error.message.startsWith(`${path}: got`)) return []
    return [...error.message.slice(error.message.indexOf('accepted:')).matchAll(/'([^']+)'/g)].map(([, value]) => value)
  }
  return []
}

/**
 * The forms, each with the options of the client and the mode of the server: `turn` opens a new turn after a last assistant
 * turn, `native` continues it.
 */
export function forms() {
  const styles = accepted({ recovery: { style: '?' } }, 'recovery.style')
  const assurances = accepted({ recovery: { assurance: '?' } }, 'recovery.assurance')
  const continuations = accepted({ continuation: '?' }, 'continuation')
  const all = [{ name: 'default', mode: 'turn', options: {} }]
  for (const style of styles) all.push({ name: style, mode: 'turn', options: { recovery: { style } } })
  for (const assurance of assurances) {
    all.push({ name: `assurance-${assurance}`, mode: 'turn', options: { recovery: { assurance } } })
  }
  if (continuations.includes('assistant')) {
    all.push({ name: 'native', mode: 'native', options: { continuation: 'assistant' } })
  }
  all.push({ name: 'default-native', mode: 'native', options: {} })
  return all
}
