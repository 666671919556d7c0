/** `validateApiKey`: the key check of document 004. */
import { invalid } from '../errors'

const MIN_LENGTH = 20
const ACCEPTED = `a key that starts with 'sk-' and has at least ${MIN_LENGTH} characters`

export function validateApiKey(key: string): true {
  // Whatever it is, it may be the secret: it is never part of the error.
  const refuse = (said: string) => invalid('key', undefined, ACCEPTED, said)
  if (typeof key !== 'string') throw refuse(key === null ? 'null' : `a value of type ${typeof key}`)
  const trimmed = key.trim()
  if (trimmed === '') throw refuse('an empty string')
  if (!trimmed.startsWith('sk-')) throw refuse("a key that does not start with 'sk-'")
  if (trimmed.length < MIN_LENGTH) throw refuse(`a key of ${trimmed.length} characters`)
  const place = trimmed.search(/[^\x21-\x7e]/)
  if (place !== -1) throw refuse(`a key with a character at position ${place} that no header can hold`)
  return true
}
