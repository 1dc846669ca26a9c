/** @file The subgroup matrices that kernels are written for, and which of a device's a product runs on. */

import type { DeviceDType } from '../tensor/dtype.ts';
import type { DeviceTraits } from './kernel.ts';
import type { Constants } from './wgsl.ts';

/** Sums of [rows x columns], in f32 (i32 for bytes), of products over `depth` elements. */
export interface MatrixShape {
  readonly elements: 'f16' | 'f32' | 'i8';
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** Matrices of NVIDIA, Intel and Apple GPUs, in order of preference: halves before floats. Sums of f16 would lose digits. */
export const MATRIX_SHAPES: readonly MatrixShape[] = [
  { elements: 'f16', rows: 16, columns: 16, depth: 16 },
  { elements: 'f16', rows: 8, columns: 16, depth: 16 },
  { elements: 'f16', rows: 8, columns: 8, depth: 8 },
  { elements: 'f32', rows: 8, columns: 8, depth: 8 },
];

/** Matrices of bytes, of NVIDIA cards. */
export const INT8_SHAPE: MatrixShape = { elements: 'i8', rows: 16, columns: 16, depth: 32 };

/** Lanes of the subgroups that kernels on matrices are laid out for. */
export const MATRIX_LANES = 32;

/**
 * The matrices for values of a type: their own, or floats for halves (Apple's GPUs multiply both at one rate, but add halves
 * as halves). Undefined where the device has none, or where its subgroups may be larger than kernels are laid out for.
 */
export function matrixShapeFor(
  { subgroupMatrices, largestSubgroup }: DeviceTraits,
  dtype: DeviceDType,
): MatrixShape | undefined {
  if (largestSubgroup !== MATRIX_LANES || dtype === 'i32') return undefined;
  return subgroupMatrices.find(
    ({ elements }) => elements === dtype || (elements === 'f32' && dtype === 'f16'),
  );
}

const ELEMENT_BYTES = { f16: 2, f32: 4, i8: 1 };

/** Elements in a vector of 16 bytes of a tile. */
export function inTileVector({ elements }: MatrixShape): number {
  return 16 / ELEMENT_BYTES[elements];
}

/** Elements in a vector of 16 bytes of memory, where values of this type are. */
export function inVector(matrix: MatrixShape, dtype: DeviceDType): number {
  return matrix.elements === 'i8' ? 16 : dtype === 'f16' ? 8 : 4;
}

/** Whether f16 of memory are staged as f32. */
export function widens(matrix: MatrixShape, dtype: DeviceDType): boolean {
  return inVector(matrix, dtype) > inTileVector(matrix);
}

/** Constants that shaders on matrices have in common. */
export function matrixConstants(
  matrix: MatrixShape,
  dtype: DeviceDType,
  { subgroupSize }: DeviceTraits,
): Constants {
  const { elements, rows, columns, depth } = matrix;
  return {
    ELEMENTS: elements,
    WIDEN: widens(matrix, dtype),
    M: rows,
    N: columns,
    K: depth,
    CHUNK: depth / inTileVector(matrix),
    LANES: MATRIX_LANES,
    RESIZED: subgroupSize !== MATRIX_LANES,
  };
}
