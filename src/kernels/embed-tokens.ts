/** @file Token embedding, plus position embedding where there is one. */

import source from '../../shaders/embed-tokens.wgsl';
import { DEVICE_DTYPE_BYTES } from '../tensor/dtype.ts';
import { channelsOf, defineKernel, elementCount, foldLanes, isUnpacked, type Launch } from './kernel.ts';

/** Parts of the table begin at multiples of this many rows, which aligns them for any number of channels. */
const ROW_STEP = 256;

export const embedTokens = defineKernel({
  id: 'embed-tokens',
  ops: ['embedTokens'],
  splits: ['table'],
  launches(node, context) {
    const { ids, table, positions } = node.inputs;
    const count = elementCount(context.shapeOf(node.output));
    const [, tokens] = context.shapeOf(ids);
    const [rows, channels] = context.shapeOf(table);
    const rowBytes = channels * DEVICE_DTYPE_BYTES[context.dtypeOf(table)];
    const most = Math.max(1, Math.floor(context.traits.maxBindingBytes / rowBytes / ROW_STEP)) * ROW_STEP;
    return Array.from({ length: Math.ceil(rows / most) }, (_, part): Launch => {
      const firstRow = part * most;
      const partRows = Math.min(most, rows - firstRow);
      return {
        name: 'embed-tokens',
        source,
        constants: {
          CHANNELS: channelsOf(context, node.output),
          ROWS: rows,
          UNPACK: isUnpacked(context, node, table),
          POSITIONS: positions !== undefined,
        },
        uniforms: ['CHANNELS', 'ROWS'],
        dims: { count, tokens, firstRow, rows: partRows },
        workgroups: foldLanes(count, context.traits),
        ranges: { table: { offset: firstRow * rowBytes, bytes: partRows * rowBytes } },
      };
    });
  },
});
