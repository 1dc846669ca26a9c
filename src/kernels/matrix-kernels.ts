/** @file The kernels on subgroup matrices, loaded for devices that have some; in order of preference. */

import { attentionMatrix } from './attention-matrix.ts';
import { attentionWide } from './attention-wide.ts';
import { gemmMatrix } from './gemm-matrix.ts';
import type { Kernel } from './kernel.ts';

export const MATRIX_KERNELS: readonly Kernel[] = [gemmMatrix, attentionMatrix, attentionWide];
