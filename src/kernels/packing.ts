/**
 * @file How kernels want weights laid out, and the functions that lay them out while weights are uploaded.
 *
 * The graph declares weights as torch stores them: convolutions [out, in, kh, kw], linear layers [out, in].
 */

/** A layout of a weight on the device. */
export type Packing =
  /** As stored. */
  | { readonly kind: 'plain' }
  /**
   * 4x4 blocks [k / 4][n / 4][4 of k][4 of n] for kernels that multiply `mat4x4` by `vec4`. The sum runs over
   * (ky, kx, channel); each source's channels, and the outputs, are padded with zeros to multiples of 4.
   */
  | (MatrixPacking & { readonly kind: 'blocks' })
  /**
   * Rows [n][k] for subgroup matrices, the sum over (ky, kx, channel); each source's channels are padded to a
   * multiple of 8, rows to a multiple of `k`, and the number of rows to a multiple of `n`.
   */
  | (MatrixPacking & { readonly kind: 'rows'; readonly k: number; readonly n: number });

interface MatrixPacking {
  /** Channels of each source: one, or two where a kernel reads a concatenation from its parts. */
  readonly sources: readonly number[];
  /**
   * For gated layers (GEGLU), the number of neighbouring columns after which value and gate columns alternate, so that
   * one thread or tile holds both; 0 if the layer is not gated.
   */
  readonly gate: number;
}

/** A weight's elements: f32 numbers, or f16 bit patterns. */
export type Elements = Float32Array | Uint16Array;

const align = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;

/** Columns of a packed matrix with `columns` outputs: gated ones come in pairs of `gate` columns. */
export function packedColumns(columns: number, gate: number, multiple: number): number {
  return align(gate > 0 ? align(columns / 2, gate) * 2 : columns, multiple);
}

/** Where the n-th stored row goes. */
function packedColumn(n: number, columns: number, gate: number): number {
  if (gate === 0) return n;
  const half = columns / 2;
  const within = n < half ? n : n - half;
  return Math.floor(within / gate) * 2 * gate + (within % gate) + (n < half ? 0 : gate);
}

/** Length of the packed sum: (ky, kx, channel), each source's channels padded. */
export function packedDepth(taps: number, sources: readonly number[], multiple: number): number {
  return taps * sources.reduce((sum, channels) => sum + align(channels, multiple), 0);
}

/** Number of elements that a weight of this shape takes when packed. */
export function packedLength(packing: Packing, shape: readonly number[]): number {
  if (packing.kind === 'plain') return shape.reduce((a, b) => a * b, 1);
  const [columns = 1, , ...kernel] = shape;
  const taps = kernel.reduce((a, b) => a * b, 1);
  return packing.kind === 'blocks'
    ? packedColumns(columns, packing.gate, 4) * packedDepth(taps, packing.sources, 4)
    : packedColumns(columns, packing.gate, packing.n) * align(packedDepth(taps, packing.sources, 8), packing.k);
}

/**
 * Puts some rows of a weight where the packing wants them.
 * @param source rows `firstRow`, `firstRow` + 1, ... of a weight of `shape`, row-major.
 * @param target `packedLength` elements, zeros at first.
 */
export function packRows(packing: Packing, shape: readonly number[], source: Elements, firstRow: number, target: Elements): void {
  const [columns = 1, channels = 1, ...kernel] = shape;
  if (packing.kind === 'plain') {
    target.set(source, (firstRow * (target.length / columns)) | 0);
    return;
  }
  const taps = kernel.reduce((a, b) => a * b, 1);
  const blocks = packing.kind === 'blocks';
  const pad = blocks ? 4 : 8;
  const depth = packedDepth(taps, packing.sources, pad);
  // Place of each (channel, tap) in the sum.
  const tapDepth = depth / taps;
  const first = packing.sources[0] ?? channels;
  const positions = new Uint32Array(channels * taps);
  for (let channel = 0; channel < channels; channel++)
    for (let tap = 0; tap < taps; tap++)
      positions[channel * taps + tap] = tap * tapDepth + (channel < first ? channel : align(first, pad) + channel - first);
  const rowLength = channels * taps;
  const rows = source.length / rowLength;
  const width = blocks ? packedColumns(columns, packing.gate, 4) : 0;
  const stride = blocks ? 0 : align(depth, packing.k);
  // In blocks, k moves by 4 inside a block and by a row of blocks every 4.
  if (blocks) for (let i = 0; i < rowLength; i++) positions[i] = (positions[i]! >> 2) * width * 4 + (positions[i]! & 3) * 4;
  for (let row = 0; row < rows; row++) {
    const column = packedColumn(firstRow + row, columns, packing.gate);
    const base = blocks ? (column >> 2) * 16 + (column & 3) : column * stride;
    const from = row * rowLength;
    for (let i = 0; i < rowLength; i++) target[base + positions[i]!] = source[from + i]!;
  }
}
