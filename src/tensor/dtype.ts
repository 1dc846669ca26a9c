/**
 * @file Element types: those that files store, and those that graphs compute in.
 */

/** Element types of safetensors files (the format's own names). */
export const STORED_DTYPES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** Name of a stored element type; `STORED_DTYPES[dtype]` is its size in bytes. */
export type StoredDType = keyof typeof STORED_DTYPES;

/** True for the element types this version can read. */
export function isStoredDType(name: string): name is StoredDType {
  return Object.hasOwn(STORED_DTYPES, name);
}

/** Element types that weights and activations can have on a device. */
export type FloatDType = 'f32' | 'f16' | 'bf16';

/**
 * Element types of graph values. `float` is the target's activation type and is made concrete when
 * a graph is planned; `f32` stays 32 bits wide on every target (scheduler state, coefficients, statistics).
 */
export type ValueDType = 'float' | 'f32' | 'i32';

/** A concrete element type on a device. */
export type DeviceDType = FloatDType | 'i32';

/** Bytes of one element on a device. */
export const DEVICE_DTYPE_BYTES: Readonly<Record<DeviceDType, number>> = { f32: 4, f16: 2, bf16: 2, i32: 4 };
