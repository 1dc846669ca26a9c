/** @file The kernels on signed bytes, loaded for backends with the option `int8`; in order of preference. */

import { gemmInt8Matrix } from './gemm-int8-matrix.ts';
import { gemmInt8 } from './gemm-int8.ts';
import type { Kernel } from './kernel.ts';

export const INT8_KERNELS: readonly Kernel[] = [gemmInt8Matrix, gemmInt8];
