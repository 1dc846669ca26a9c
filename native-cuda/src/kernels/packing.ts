/** @file Layouts of weights, and the launches that make them; `weights.ts` runs those once a weight. */

import { elementCount, type WeightPacking } from '../kernel.ts';
import { defineLaunch, type TypedLaunch } from '../launch.ts';

export const convertWeightLaunch = defineLaunch('convert_weight', {
  stored: 'pointer',
  y: 'pointer',
  count: 'i64',
  type: 'i32',
  element: 'i32',
});

export const packFiltersLaunch = defineLaunch('pack_filters', {
  source: 'pointer',
  packed: 'pointer',
  filters: 'i64',
  channels: 'i32',
  packedChannels: 'i32',
  taps: 'i32',
  element: 'i32',
});

/** The struct CalotypePackArgs. */
const PACK = {
  in: 'pointer',
  out: 'pointer',
  outChannels: 'i32',
  channels: 'i32',
  kernelHeight: 'i32',
  kernelWidth: 'i32',
  element: 'i32',
} as const;

/** Of layouts that only move elements. */
function sameBytes(shape: readonly number[], elementBytes: number): number {
  return elementCount(shape) * elementBytes;
}

export const packConvUpsampleLaunch = defineLaunch('pack_conv_upsample', PACK);
export const packGegluLaunch = defineLaunch('pack_geglu', PACK);

/** Row-major as torch stores it: what a weight becomes for a kernel that names no packing. */
export const PLAIN: WeightPacking = { key: 'plain', bytes: sameBytes };

/** Filters [out][ky][kx][channel] for implicit matrix products over NHWC, with zeros up to a multiple of channels. */
function filtersOf(multiple: number): WeightPacking {
  const padded = (channels: number): number => Math.ceil(channels / multiple) * multiple;
  return {
    key: `filters of ${multiple}`,
    bytes: ([filters, channels, ...taps], elementBytes) =>
      filters * padded(channels) * elementCount(taps) * elementBytes,
    launch([filters, channels, ...taps], element) {
      const sizes = {
        filters,
        channels,
        packedChannels: padded(channels),
        taps: elementCount(taps),
        element,
      };
      return packFiltersLaunch.with({ source: 'source', packed: 'packed', ...sizes });
    },
  };
}

/** Channels that the copy engine reads of a pixel come in 16 bytes. */
export const VECTOR_CHANNELS = 8;

export const FILTERS = filtersOf(1);
export const PADDED_FILTERS = filtersOf(VECTOR_CHANNELS);

/** The four 2x2 filters [phase][out][ky][kx][channel] that a 3x3 filter is over an image that is doubled while it is read. */
export const PHASES: WeightPacking = {
  key: 'phases',
  bytes: ([filters, channels], elementBytes) => 4 * filters * channels * 4 * elementBytes,
  launch: (shape, element) => packNarrow(packConvUpsampleLaunch, shape, element),
};

/** Rows in blocks of eight values and their eight gates; of a matrix [out, in] or a bias [out]. */
export const GATED: WeightPacking = {
  key: 'gated',
  bytes: sameBytes,
  launch: (shape, element) => packNarrow(packGegluLaunch, shape, element),
};

function packNarrow(
  type: TypedLaunch<typeof PACK>,
  [outChannels, channels = 1, kernelHeight = 1, kernelWidth = 1]: readonly number[],
  element: number,
) {
  const sizes = { outChannels, channels, kernelHeight, kernelWidth };
  return type.with({ in: 'source', out: 'packed', ...sizes, element });
}
