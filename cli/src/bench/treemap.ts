/** @file Rectangles whose areas are proportional to some sizes: "Squarified Treemaps" (Bruls, Huizing, van Wijk 2000). */

/** A rectangle. */
export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Divides a rectangle among sizes over 0, which must be in descending order. */
export function treemap(sizes: readonly number[], area: Rectangle): Rectangle[] {
  const result: Rectangle[] = [];
  let rest = area;
  let restSize = sum(sizes);
  for (let start = 0; start < sizes.length;) {
    const scale = (rest.width * rest.height) / restSize;
    const side = Math.min(rest.width, rest.height);
    let end = start + 1;
    const worst = (to: number): number => worstRatio(sizes.slice(start, to), side, scale);
    while (end < sizes.length && worst(end + 1) <= worst(end)) end++;
    const row = sizes.slice(start, end);
    const thickness = (sum(row) * scale) / side;
    const isColumn = rest.width >= rest.height;
    let at = isColumn ? rest.y : rest.x;
    for (const size of row) {
      const length = (size * scale) / thickness;
      result.push(
        isColumn
          ? { x: rest.x, y: at, width: thickness, height: length }
          : { x: at, y: rest.y, width: length, height: thickness },
      );
      at += length;
    }
    rest = isColumn
      ? { ...rest, x: rest.x + thickness, width: rest.width - thickness }
      : { ...rest, y: rest.y + thickness, height: rest.height - thickness };
    restSize -= sum(row);
    start = end;
  }
  return result;
}

/** The largest ratio of sides among the rectangles of a row along `side`. */
function worstRatio(row: readonly number[], side: number, scale: number): number {
  const thickness = (sum(row) * scale) / side;
  return Math.max(
    ...row.map((size) => {
      const length = (size * scale) / thickness;
      return Math.max(length / thickness, thickness / length);
    }),
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
