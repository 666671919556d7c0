// Finding a piece of text in another one in spite of small changes.

/** Text as it is compared: lower case, one space for each run of white space. Code points, so that a pair is one unit. */
export const comparable = (text) => [...text.toLowerCase().replace(/\s+/gu, ' ').trim()]

/**
 * The place in `text` that `pattern` resembles most, by edit distance (P. H. Sellers, "The theory and computation of
 * evolutionary distances", Journal of Algorithms 1, 1980). Both are arrays of code points; of equally good places the first
 * is returned. `errors` counts inserted, removed and replaced code points.
 */
export function locate(pattern, text) {
  let errors = Array.from({ length: pattern.length + 1 }, (_, row) => row)
  let starts = new Array(pattern.length + 1).fill(0)
  let best = { errors: pattern.length, start: 0, end: 0 }
  for (let column = 1; column <= text.length; column++) {
    const nextErrors = [0]
    const nextStarts = [column]
    for (let row = 1; row <= pattern.length; row++) {
      const replaced = errors[row - 1] + (pattern[row - 1] === text[column - 1] ? 0 : 1)
      const inserted = errors[row] + 1
      const removed = nextErrors[row - 1] + 1
      const least = Math.min(replaced, inserted, removed)
      nextErrors.push(least)
      nextStarts.push(least === replaced ? starts[row - 1] : least === inserted ? starts[row] : nextStarts[row - 1])
    }
    errors = nextErrors
    starts = nextStarts
    if (errors[pattern.length] < best.errors) {
      best = { errors: errors[pattern.length], start: starts[pattern.length], end: column }
    }
  }
  return best
}

/** Where `pattern` is in `text` with at most this share of errors; undefined if nowhere. */
export function occurrence(pattern, text, maxErrors) {
  if (pattern.length === 0) return undefined
  const found = locate(pattern, text)
  return found.errors <= Math.floor(pattern.length * maxErrors) ? found : undefined
}
