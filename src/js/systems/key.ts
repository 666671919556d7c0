/** `validateApiKey`: the key check of tutorial 004. */
import { invalid } from '../errors'

const MIN_LENGTH = 20
const ACCEPTED = `a key that starts with 'sk-' and has at least ${MIN_LENGTH} characters`

export function validateApiKey(key: string): true {
  // Any value may be the secret, so the error never contains it.
  const invalidKey = (description: string) => invalid('key', undefined, ACCEPTED, description)
  if (typeof key !== 'string') throw invalidKey(key === null ? 'null' : `a value of type ${typeof key}`)
  const trimmed = key.trim()
  if (trimmed === '') throw invalidKey('an empty string')
  if (!trimmed.startsWith('sk-')) throw invalidKey("a key that does not start with 'sk-'")
  if (trimmed.length < MIN_LENGTH) throw invalidKey(`a key of ${trimmed.length} characters`)
  const position = trimmed.search(/[^\x21-\x7e]/)
  if (position !== -1) throw invalidKey(`a key with a character at position ${position} that is not valid in a header`)
  return true
}
