/** The parts of an answer that several attempts wrote. */

/** A part of an answer's text, who wrote it, and its length in code points. */
export interface Segment {
  endpoint: string
  model: string
  characters: number
}

/** How a continuation was joined to the text before it. */
export interface Join {
  /** What kind of continuation it was. */
  kind: 'exact' | 'overlap' | 'word' | 'restart' | 'anchor'
  /**
   * What vouches for it. `resume`: the provider kept the stream, and sent what had not arrived. `native`: the provider
   * continued the answer itself. `verified`: words that were repeated, or the place where the texts meet. `unverified`:
   * nothing (see `recovery.assurance`).
   */
  tier: 'resume' | 'native' | 'verified' | 'unverified'
  /** How many code points of duplicate text were removed. */
  trimmed: number
  /** How long text was buffered before the decision, from the continuation's first character, in milliseconds. */
  bufferedMs: number
  /** The decision was made because the buffer limit, in characters or time, was reached. */
  hitLimit: boolean
}
