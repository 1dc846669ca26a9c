/**
 * @file The table of kernels. Its order is the policy (see selection.ts): fast and picky ones come before those that run
 * anywhere. What few devices can run is loaded for those.
 */

import { inputsOf, type Node } from '../graph/ops.ts';
import { later } from '../later.ts';
import type { DeviceDType } from '../tensor/dtype.ts';
import { addGated } from './add-gated.ts';
import { addScaled } from './add-scaled.ts';
import { attentionPlain } from './attention-plain.ts';
import { attentionRegister } from './attention-register.ts';
import { attentionTiled } from './attention-tiled.ts';
import { concat } from './concat.ts';
import { elementwise } from './elementwise.ts';
import { embedTokens } from './embed-tokens.ts';
import { fourierFilter } from './fourier-filter.ts';
import { gatherRows } from './gather-rows.ts';
import { geglu } from './geglu.ts';
import { gemmTiled } from './gemm-tiled.ts';
import { groupNormFold } from './group-norm-fold.ts';
import { groupNormScale } from './group-norm-scale.ts';
import { groupNormWhole } from './group-norm-whole.ts';
import { groupNorm } from './group-norm.ts';
import { guidanceFactor } from './guidance-factor.ts';
import { guidance } from './guidance.ts';
import { guidedStep } from './guided-step.ts';
import type { DeviceTraits, Kernel, KernelContext, Launch } from './kernel.ts';
import { layerNormSubgroup } from './layer-norm-subgroup.ts';
import { layerNorm } from './layer-norm.ts';
import { modelInput } from './model-input.ts';
import { poolMean } from './pool-mean.ts';
import { sliceChannels } from './slice-channels.ts';
import { timestepEmbedding } from './timestep-embedding.ts';
import { upsampleNearest } from './upsample-nearest.ts';
import { assembleShader, type Shader } from './wgsl.ts';

/** The kernels of every device, in order of preference. */
export const KERNELS: readonly Kernel[] = [
  gemmTiled,
  attentionTiled,
  attentionRegister,
  attentionPlain,
  groupNormWhole,
  groupNorm,
  groupNormFold,
  groupNormScale,
  layerNormSubgroup,
  layerNorm,
  elementwise,
  addGated,
  addScaled,
  poolMean,
  geglu,
  concat,
  sliceChannels,
  upsampleNearest,
  fourierFilter,
  gatherRows,
  embedTokens,
  timestepEmbedding,
  modelInput,
  guidance,
  guidanceFactor,
  guidedStep,
];

/** Ids of the kernels of int8-kernels.ts, matrix-kernels.ts and software-kernels.ts. */
const LATER_IDS = [
  'gemm-int8-matrix',
  'gemm-int8',
  'gemm-matrix',
  'attention-matrix',
  'attention-wide',
  'gemm-register',
];

/** Ids of all kernels that there are. */
export const KERNEL_IDS: readonly string[] = [...LATER_IDS, ...KERNELS.map(({ id }) => id)];

/** What a device's table is loaded for. */
export interface TableOptions {
  readonly traits: Pick<DeviceTraits, 'subgroupMatrices' | 'software'>;
  /** Whether layers may be computed on signed bytes. */
  readonly int8: boolean;
  /** Ids of kernels that shall not be used. */
  readonly without: readonly string[];
}

/** The table of a device. Throws DownloadError where a part of it cannot be loaded. */
export async function kernelsFor({ traits, int8, without }: TableOptions): Promise<readonly Kernel[]> {
  const [bytes, matrices, software] = await Promise.all([
    int8 ? later('kernels on bytes', () => import('./int8-kernels.ts')) : undefined,
    traits.subgroupMatrices.length > 0
      ? later('kernels on matrices', () => import('./matrix-kernels.ts'))
      : undefined,
    // GPUs run others, unless those are left out.
    traits.software || without.length > 0
      ? later('kernels of software adapters', () => import('./software-kernels.ts'))
      : undefined,
  ]);
  return [
    ...(bytes?.INT8_KERNELS ?? []),
    ...(matrices?.MATRIX_KERNELS ?? []),
    ...KERNELS,
    ...(software?.SOFTWARE_KERNELS ?? []),
  ];
}

/** Element types of what a launch binds, as the node's values have them. */
export function bufferTypes(
  launch: Launch,
  node: Node,
  context: KernelContext,
): Readonly<Record<string, DeviceDType>> {
  const types: Record<string, DeviceDType> = { y: context.dtypeOf(node.output) };
  for (const [name, value] of inputsOf(node)) types[name] = context.dtypeOf(value);
  for (const [binding, buffer] of Object.entries(launch.aliases ?? {}))
    types[binding] = types[buffer] ?? 'f32';
  return types;
}

/** The shader of a launch. */
export function shaderOf(launch: Launch, node: Node, context: KernelContext): Shader {
  const types = bufferTypes(launch, node, context);
  return assembleShader(launch.name, launch.source, launch.constants, types, launch.uniforms);
}
