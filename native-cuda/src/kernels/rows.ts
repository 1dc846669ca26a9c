/** @file Ops that move rows: concat, sliceChannels, gatherRows, selectToken, embedTokens, poolMean, upsampleNearest. */

import { channelsOf, defineCudaKernel, elementOf, rowsOf } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';

export const copyChannelsLaunch = defineLaunch('copy_channels', {
  x: 'pointer',
  y: 'pointer',
  rows: 'i64',
  channels: 'i32',
  xChannels: 'i32',
  xFirst: 'i32',
  yChannels: 'i32',
  yFirst: 'i32',
  element: 'i32',
});

export const padChannelsLaunch = defineLaunch('pad_channels', {
  x: 'pointer',
  y: 'pointer',
  rows: 'i64',
  xChannels: 'i32',
  yChannels: 'i32',
  element: 'i32',
});

export const gatherRowsLaunch = defineLaunch('gather_rows', {
  table: 'pointer',
  index: 'pointer',
  y: 'pointer',
  rows: 'i64',
  channels: 'i32',
  tableRows: 'i32',
  tableStride: 'i32',
  element: 'i32',
});

export const embedTokensLaunch = defineLaunch('embed_tokens', {
  ids: 'pointer',
  table: 'pointer',
  positions: 'pointer',
  y: 'pointer',
  rows: 'i64',
  tokens: 'i32',
  channels: 'i32',
  tableRows: 'i32',
  element: 'i32',
});

export const upsampleNearestLaunch = defineLaunch('upsample_nearest', {
  x: 'pointer',
  y: 'pointer',
  images: 'i32',
  height: 'i32',
  width: 'i32',
  outHeight: 'i32',
  outWidth: 'i32',
  channels: 'i32',
  scaleY: 'f32',
  scaleX: 'f32',
  element: 'i32',
});

export const copyChannels = defineCudaKernel({
  id: 'copy-channels',
  ops: ['concat', 'sliceChannels'],
  launches(node, context) {
    const shared = { y: 'y', rows: rowsOf(context, node.output), element: elementOf(context, node.output) };
    const yChannels = channelsOf(context, node.output);
    if (node.kind === 'sliceChannels') {
      const { start: xFirst, length: channels } = node.attrs;
      const xChannels = channelsOf(context, node.inputs.x);
      return [
        copyChannelsLaunch.with({ ...shared, x: 'x', channels, xChannels, xFirst, yChannels, yFirst: 0 }),
      ];
    }
    const [a, b] = [channelsOf(context, node.inputs.a), channelsOf(context, node.inputs.b)];
    const whole = (x: string, channels: number, yFirst: number) =>
      copyChannelsLaunch.with({ ...shared, x, channels, xChannels: channels, xFirst: 0, yChannels, yFirst });
    return [whole('a', a, 0), whole('b', b, a)];
  },
});

export const gatherRows = defineCudaKernel({
  id: 'gather-rows',
  ops: ['gatherRows', 'selectToken'],
  launches(node, context) {
    const shared = node.kind === 'gatherRows';
    const tableRows = context.shapeOf(shared ? node.inputs.table : node.inputs.x).at(-2) ?? 1;
    return [
      gatherRowsLaunch.with({
        table: shared ? 'table' : 'x',
        index: 'index',
        y: 'y',
        rows: rowsOf(context, node.output),
        channels: channelsOf(context, node.output),
        tableRows,
        tableStride: shared ? 0 : tableRows,
        element: elementOf(context, node.output),
      }),
    ];
  },
});

export const embedTokens = defineCudaKernel({
  id: 'embed-tokens',
  ops: ['embedTokens'],
  launches(node, context) {
    const [tableRows, channels] = context.shapeOf(node.inputs.table);
    return [
      embedTokensLaunch.with({
        ids: 'ids',
        table: 'table',
        positions: 'positions',
        y: 'y',
        rows: rowsOf(context, node.output),
        tokens: channelsOf(context, node.inputs.ids),
        channels,
        tableRows,
        element: elementOf(context, node.output),
      }),
    ];
  },
});

export const poolMeanLaunch = defineLaunch('pool_mean', {
  x: 'pointer',
  y: 'pointer',
  images: 'i32',
  positions: 'i32',
  channels: 'i32',
  element: 'i32',
});

export const poolMean = defineCudaKernel({
  id: 'pool-mean',
  ops: ['poolMean'],
  launches(node, context) {
    const [images, channels] = context.shapeOf(node.output);
    const positions = rowsOf(context, node.inputs.x) / images;
    return [
      poolMeanLaunch.with({
        x: 'x',
        y: 'y',
        images,
        positions,
        channels,
        element: elementOf(context, node.output),
      }),
    ];
  },
});

export const upsampleNearest = defineCudaKernel({
  id: 'upsample-nearest',
  ops: ['upsampleNearest'],
  launches(node, context) {
    const [images, height, width, channels] = context.shapeOf(node.inputs.x);
    const [, outHeight, outWidth] = context.shapeOf(node.output);
    return [
      upsampleNearestLaunch.with({
        x: 'x',
        y: 'y',
        images,
        height,
        width,
        outHeight,
        outWidth,
        channels,
        scaleY: height / outHeight,
        scaleX: width / outWidth,
        element: elementOf(context, node.output),
      }),
    ];
  },
});
