/** @file Group norm in one launch where an image fits a cluster's shared memory, and layer norm with rows in registers. */

import {
  channelsOf,
  defineCudaKernel,
  elementOf,
  isNarrow,
  rowsOf,
  type CudaContext,
  type NodesOf,
} from '../kernel.ts';
import { defineLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';
import { OVERLAP } from './tensor-core.ts';

export const groupNormLaunch = defineLaunch('group_norm', {
  x: 'pointer',
  x2: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  out: 'pointer',
  scratch: 'pointer',
  batch: 'i32',
  pixels: 'i32',
  channels: 'i32',
  channels2: 'i32',
  groups: 'i32',
  eps: 'f32',
  activation: 'i32',
  element: 'i32',
  flags: 'i32',
});

export const layerNormLaunch = defineLaunch('layer_norm', {
  x: 'pointer',
  weight: 'pointer',
  bias: 'pointer',
  out: 'pointer',
  rows: 'i32',
  channels: 'i32',
  eps: 'f32',
  element: 'i32',
  flags: 'i32',
});

/** Of kernels/layer_norm.cu. */
const MAX_LAYER_CHANNELS = 8192;

/** Vectors of eight channels in a slice, in kernels/group_norm.cu. */
const MAX_SLICE_VECTORS = 32;

/** Most blocks of a group norm, as many times the card's multiprocessors. */
const BLOCKS_EACH = 4;

function sizesOf(node: NodesOf<'groupNorm'>, context: CudaContext) {
  const { x, x2 } = node.inputs;
  const [batch] = context.shapeOf(x);
  const channels2 = x2 === undefined ? 0 : channelsOf(context, x2);
  return { batch, pixels: rowsOf(context, x) / batch, channels: channelsOf(context, x), channels2 };
}

/** Vectors that a slice should have at least. */
const WANTED_VECTORS = 8;

/**
 * Whether channels can be cut into slices of whole groups and whole vectors, none with channels of three groups, as `divide` in
 * kernels/group_norm.cu does.
 */
function hasSlices(channels: number, groups: number): boolean {
  const vectors = channels / 8;
  const width = channels / groups;
  let unit = 1;
  while ((unit * 8) % width !== 0) unit++;
  const common = width / unit;
  if (width + common < 8) return false;
  const most = Math.min(vectors, MAX_SLICE_VECTORS);
  const slices: number[] = [];
  for (let slice = unit; slice <= most; slice += unit) if (vectors % slice === 0) slices.push(slice);
  return slices.some(
    (slice) => slice >= WANTED_VECTORS || slice === vectors || slice + unit > MAX_SLICE_VECTORS,
  );
}

export const groupNorm = defineCudaKernel({
  id: 'group-norm',
  ops: ['groupNorm'],
  supports(node, context) {
    const { channels, channels2 } = sizesOf(node, context);
    const { groups, activation } = node.attrs;
    return (
      isNarrow(context, node.output) &&
      channels % 8 === 0 &&
      channels2 % 8 === 0 &&
      hasSlices(channels + channels2, groups) &&
      (activation === 'none' || activation === 'silu')
    );
  },
  scratchBytes(node, context) {
    const { batch } = sizesOf(node, context);
    return [(BLOCKS_EACH * context.device.multiprocessors + batch) * node.attrs.groups * 8];
  },
  launches: (node, context) => [
    groupNormLaunch.with({
      x: 'x',
      x2: 'x2',
      weight: 'weight',
      bias: 'bias',
      out: 'y',
      scratch: 'scratch0',
      ...sizesOf(node, context),
      groups: node.attrs.groups,
      eps: node.attrs.eps,
      activation: activationCode(node.attrs.activation),
      element: elementOf(context, node.output),
      flags: OVERLAP,
    }),
  ],
});

export const layerNorm = defineCudaKernel({
  id: 'layer-norm',
  ops: ['layerNorm'],
  supports(node, context) {
    const channels = channelsOf(context, node.output);
    return isNarrow(context, node.output) && channels % 8 === 0 && channels <= MAX_LAYER_CHANNELS;
  },
  launches: (node, context) => [
    layerNormLaunch.with({
      x: 'x',
      weight: 'weight',
      bias: 'bias',
      out: 'y',
      rows: rowsOf(context, node.output),
      channels: channelsOf(context, node.output),
      eps: node.attrs.eps,
      element: elementOf(context, node.output),
      flags: OVERLAP,
    }),
  ],
});
