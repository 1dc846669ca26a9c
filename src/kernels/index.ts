/** @file The table of kernels. Its order is the policy (see selection.ts): fast and picky ones come before those that run anywhere. */

import { kernelWithId } from '../graph/kernel-table.ts';
import { inputsOf, type Node } from '../graph/ops.ts';
import type { DeviceDType } from '../tensor/dtype.ts';
import { addGated } from './add-gated.ts';
import { addScaled } from './add-scaled.ts';
import { attentionMatrix } from './attention-matrix.ts';
import { attentionRegister } from './attention-register.ts';
import { attentionTiled } from './attention-tiled.ts';
import { attentionWide } from './attention-wide.ts';
import { concat } from './concat.ts';
import { elementwise } from './elementwise.ts';
import { embedTokens } from './embed-tokens.ts';
import { fourierFilter } from './fourier-filter.ts';
import { gatherRows } from './gather-rows.ts';
import { geglu } from './geglu.ts';
import { gemmInt8Matrix } from './gemm-int8-matrix.ts';
import { gemmInt8 } from './gemm-int8.ts';
import { gemmMatrix } from './gemm-matrix.ts';
import { gemmRegister } from './gemm-register.ts';
import { gemmTiled } from './gemm-tiled.ts';
import { groupNormFold } from './group-norm-fold.ts';
import { groupNormScale } from './group-norm-scale.ts';
import { groupNormWhole } from './group-norm-whole.ts';
import { groupNorm } from './group-norm.ts';
import { guidanceFactor } from './guidance-factor.ts';
import { guidance } from './guidance.ts';
import { guidedStep } from './guided-step.ts';
import type { Kernel, KernelContext, Launch } from './kernel.ts';
import { layerNormSubgroup } from './layer-norm-subgroup.ts';
import { layerNorm } from './layer-norm.ts';
import { modelInput } from './model-input.ts';
import { poolMean } from './pool-mean.ts';
import { sliceChannels } from './slice-channels.ts';
import { timestepEmbedding } from './timestep-embedding.ts';
import { upsampleNearest } from './upsample-nearest.ts';
import { assembleShader, type Shader } from './wgsl.ts';

/** All kernels, in order of preference. */
export const KERNELS: readonly Kernel[] = [
  gemmInt8Matrix,
  gemmInt8,
  gemmMatrix,
  gemmTiled,
  gemmRegister,
  attentionMatrix,
  attentionWide,
  attentionTiled,
  attentionRegister,
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

/** The kernel with this id; throws KernelError naming the node if there is none. */
export function kernelById(id: string, node: Node): Kernel {
  return kernelWithId('WebGPU', KERNELS, id, node);
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
