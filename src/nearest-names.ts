/** @file "Did you mean ...?": the known names that a misspelt one is nearest to. */

/**
 * Up to `count` of `names`, by edit distance to `name`, nearest first.
 * @param most names further away than this many edits are left out; default: none are
 */
export function nearestNames(name: string, names: Iterable<string>, count = 3, most = Infinity): string[] {
  return [...names]
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}

/** Edits (insert, delete, replace, swap of neighbours) between two words: optimal string alignment distance. */
function editDistance(a: string, b: string): number {
  let older: number[] = [];
  let old = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(old[column] + 1, next[column - 1] + 1, old[column - 1] + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, older[column - 2] + 1);
      next.push(cost);
    }
    older = old;
    old = next;
  }
  return old[b.length];
}
