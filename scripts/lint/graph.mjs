// Cycles in a graph of imports.

/**
 * The cycles of a graph, one for each group of files that all reach each other: `path`, the shortest
 * cycle, which ends where it begins, and `files`, how many files the group has.
 *
 * @param {{ from: string, to: string }[]} imports
 */
export function cycles(imports) {
  const targets = new Map()
  for (const { from, to } of imports) {
    if (!targets.has(from)) targets.set(from, new Set())
    if (from !== to) targets.get(from).add(to)
  }
  return components(targets)
    .filter((component) => component.length > 1)
    .map((component) => ({ path: shortestCycle(component, targets), files: component.length }))
    .sort((a, b) => (a.path[0] < b.path[0] ? -1 : 1))
}

/** The strongly connected components (Tarjan 1972). */
function components(targets) {
  const found = []
  const stack = []
  const index = new Map()
  const low = new Map()
  const visit = (file) => {
    index.set(file, index.size)
    low.set(file, index.get(file))
    stack.push(file)
    for (const target of targets.get(file) ?? []) {
      if (!index.has(target)) {
        visit(target)
        low.set(file, Math.min(low.get(file), low.get(target)))
      } else if (stack.includes(target)) {
        low.set(file, Math.min(low.get(file), index.get(target)))
      }
    }
    if (low.get(file) === index.get(file)) found.push(stack.splice(stack.indexOf(file)))
  }
  for (const file of [...targets.keys()].sort()) if (!index.has(file)) visit(file)
  return found
}

function shortestCycle(component, targets) {
  const inside = new Set(component)
  let shortest
  for (const start of [...component].sort()) {
    const paths = [[start]]
    const seen = new Set()
    for (const path of paths) {
      const next = [...(targets.get(path.at(-1)) ?? [])].filter((file) => inside.has(file))
      if (next.includes(start)) {
        if (!shortest || path.length < shortest.length - 1) shortest = [...path, start]
        break
      }
      for (const file of next) {
        if (seen.has(file)) continue
        seen.add(file)
        paths.push([...path, file])
      }
    }
  }
  return shortest
}
