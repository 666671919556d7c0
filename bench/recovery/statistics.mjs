// The upper bound of a share.

/** The probability of at most `hits` of `total` at the share `p`. */
function atMost(hits, total, p) {
  let logTerm = total * Math.log1p(-p)
  let sum = Math.exp(logTerm)
  for (let k = 1; k <= hits; k++) {
    logTerm += Math.log((total - k + 1) / k) + Math.log(p) - Math.log1p(-p)
    sum += Math.exp(logTerm)
  }
  return sum
}

/**
 * The one-sided upper 95 % bound of a share, exact (C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits
 * illustrated in the case of the binomial", Biometrika 26, 1934): the largest share at which so few hits still have a
 * probability of 5 %. With no hit it is about 3 / `total`. 1 if there is nothing to judge by.
 */
export function upperBound(hits, total, probability = 0.05) {
  if (total === 0 || hits >= total) return 1
  let [low, high] = [hits / total, 1]
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2
    if (atMost(hits, total, middle) > probability) low = middle
    else high = middle
  }
  return high
}
