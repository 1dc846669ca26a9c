/**
 * Lays out some rows of a weight [out, in, ky, kx] for gemm.ts, in panels of 8 output channels that keep the stored
 * type: [out / 8][ky, kx, in][8]. The target is zeros at first. A task does 8 stored rows.
 */

import { shiftOf } from './lib/weight-type';

/**
 * Arguments: source, target, first row, rows, rows of the whole weight, channels, those of the first source, taps, type,
 * gated.
 */
export function gemmPack(args: usize, task: i32, scratch: usize): void {
  const firstRow = load<i32>(args, 8);
  const rows = load<i32>(args, 12);
  const columns = load<i32>(args, 16);
  const channels = load<i32>(args, 20);
  const channels1 = load<i32>(args, 24);
  const taps = load<i32>(args, 28);
  const shift = shiftOf(load<i32>(args, 32));
  const gated = load<i32>(args, 36);
  const padded1 = (channels1 + 3) & ~3;
  const tapDepth = padded1 + ((channels - channels1 + 3) & ~3);
  const depth = tapDepth * taps;
  const end = min((task + 1) * 8, rows);
  for (let row = task * 8; row < end; row++) {
    const column = packedColumn(firstRow + row, columns, gated);
    const panel = load<usize>(args, 4) + ((<usize>((column >> 3) * depth * 8 + (column & 7))) << shift);
    let from = load<usize>(args) + ((<usize>(row * channels * taps)) << shift);
    for (let c = 0; c < channels; c++) {
      const channel = c < channels1 ? c : c - channels1 + padded1;
      for (let tap = 0; tap < taps; tap++, from += (<usize>1) << shift)
        copy(panel + ((<usize>((tap * tapDepth + channel) * 8)) << shift), from, shift);
    }
  }
}

/** Where an output channel goes: gated ones come as 8 values, the 8 gates of these, and so on. */
function packedColumn(n: i32, columns: i32, gated: i32): i32 {
  if (!gated) return n;
  const half = columns >> 1;
  const within = n < half ? n : n - half;
  return (within & ~7) * 2 + (within & 7) + (n < half ? 0 : 8);
}

// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, shift: i32): void {
  if (shift == 2) store<u32>(to, load<u32>(from));
  else if (shift == 1) store<u16>(to, load<u16>(from));
  else store<u8>(to, load<u8>(from));
}
