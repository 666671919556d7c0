/**
 * Writes text that comes from a provider. A terminal executes control sequences: they can change its title or its clipboard,
 * or rewrite what is above. In a pipe or a file the text stays as it is.
 */

/** C0 but tab and line feed, DEL, C1, line and paragraph separators, and what reorders the text around it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is about them
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g

/**
 * Makes the text of an answer harmless. Each delta is a text of its own: a sequence is nothing without its first character,
 * which is shown as an escape, wherever the deltas are cut.
 */
export class TerminalFilter {
  /** The last delta ended with a carriage return, which may be half of a line break. */
  #hasReturn = false

  /** The printable text of a delta. */
  filter(delta: string): string {
    const text = this.#hasReturn ? `\r${delta}` : delta
    this.#hasReturn = text.endsWith('\r')
    const whole = this.#hasReturn ? text.slice(0, -1) : text
    return whole.replaceAll('\r\n', '\n').replace(CONTROLS, escapeControl)
  }

  /** What is left at the end. */
  end(): string {
    const rest = this.#hasReturn ? escapeControl('\r') : ''
    this.#hasReturn = false
    return rest
  }
}

/** JSON on one line that is safe to show. The escapes are JSON's own. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, escapeControl)
}

/** A text on one printable line. Works without the addon. */
export function printableLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is about them
  return text.replace(/[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, escapeControl)
}

function escapeControl(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
