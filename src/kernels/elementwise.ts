/** @file The element-wise ops that no pass could fuse: activate, add, addBias, addRows, affine, multiply. */

import source from '../../shaders/elementwise.wgsl';
import { channelsOf, defineKernel, elementCount, type NodesOf, foldLanes } from './kernel.ts';

type ElementwiseNode = NodesOf<'activate' | 'add' | 'addBias' | 'addRows' | 'affine' | 'multiply'>;

/** The input that the shader calls x. */
function mainInput(node: ElementwiseNode): string {
  return node.kind === 'add' || node.kind === 'multiply' ? 'a' : 'x';
}

export const elementwise = defineKernel({
  id: 'elementwise',
  ops: ['activate', 'add', 'addBias', 'addRows', 'affine', 'multiply'],
  inPlace: mainInput,
  launches(node, context) {
    const shape = context.shapeOf(node.output);
    const channels = channelsOf(context, node.output);
    // Vectors may cross rows only where no channel is looked up.
    const perChannel = node.kind === 'addBias' || node.kind === 'addRows';
    const width = (perChannel ? channels : elementCount(shape)) % 4 === 0 ? 4 : 1;
    const count = elementCount(shape) / width;
    const affine = node.kind === 'affine' ? node.attrs : { scale: 1, shift: 0 };
    return [
      {
        name: 'elementwise',
        source,
        constants: {
          OP: node.kind,
          WIDE: width === 4,
          IN_PLACE: context.inPlace === mainInput(node),
          INDEXED: node.kind === 'addRows' && node.inputs.rowIndex !== undefined,
          ACTIVATION: node.kind === 'activate' ? node.attrs.activation : 'none',
          CHANNELS: Math.max(1, channels / width),
          SCALE: { float: affine.scale },
          SHIFT: { float: affine.shift },
        },
        dims: { count, image: count / shape[0] },
        workgroups: foldLanes(count, context.traits),
        aliases: { x: mainInput(node) },
      },
    ];
  },
});
