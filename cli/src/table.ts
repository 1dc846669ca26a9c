/** @file Prints tables and numbers for people. */

/** Rows of cells as aligned columns; the first column and `left` ones are aligned to the left, others to the right. */
export function table(rows: readonly (readonly string[])[], left: readonly number[] = [0]): string {
  const widths = rows.reduce<number[]>(
    (sizes, row) => row.map((cell, column) => Math.max(cell.length, sizes[column] ?? 0)),
    [],
  );
  const pad = (cell: string, column: number): string =>
    left.includes(column) ? cell.padEnd(widths[column]) : cell.padStart(widths[column]);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/** `1.5 GiB`, `40 MiB`, `12 KiB`. */
export function binaryBytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}

/** `331 G`, `1.61 T`, `24.6 M`: for FLOPs and counts. */
export function decimal(count: number): string {
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(3))} ${units[unit]}`.trimEnd();
}

/** Middle of some numbers. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}
