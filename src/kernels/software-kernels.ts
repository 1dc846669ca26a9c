/** @file The kernels of adapters that compute on the CPU, loaded for those; GPUs run what comes before them. */

import { gemmRegister } from './gemm-register.ts';
import type { Kernel } from './kernel.ts';

export const SOFTWARE_KERNELS: readonly Kernel[] = [gemmRegister];
