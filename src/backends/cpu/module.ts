/** @file The kernels' WebAssembly: which build this runtime can run, compiled. */

import { allowRelaxedSimd } from '../../platform/threads.ts';

/** The builds of `wasm/`: with fused multiply-adds, or without. */
export type SimdBuild = 'relaxed-simd' | 'simd128';

/** A module that is one function of the type [] -> [], with these instructions. */
function moduleOf(...body: number[]): Uint8Array {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const code = [1, body.length + 2, 0, ...body, 0x0b];
  return new Uint8Array([...header, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, code.length, ...code]);
}

/** i32.const 0; i8x16.splat */
const VECTOR = [0x41, 0, 0xfd, 15];
/** i8x16.popcnt, of fixed-width SIMD; drop */
const SIMD_PROBE = moduleOf(...VECTOR, 0xfd, 0x62, 0x1a);
/** f32x4.relaxed_madd; drop */
const RELAXED_PROBE = moduleOf(...VECTOR, ...VECTOR, ...VECTOR, 0xfd, 0x85, 0x02, 0x1a);

/** The best build that this runtime accepts; undefined if it has no SIMD at all. */
export function bestBuild(): SimdBuild | undefined {
  if (!WebAssembly.validate(SIMD_PROBE)) return undefined;
  allowRelaxedSimd();
  return WebAssembly.validate(RELAXED_PROBE) ? 'relaxed-simd' : 'simd128';
}

/** Compiles a build. */
export async function compileKernels(build: SimdBuild): Promise<WebAssembly.Module> {
  const { default: base64 } = await (build === 'simd128'
    ? import('wasm:simd128')
    : import('wasm:relaxed-simd'));
  return WebAssembly.compile(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
}
