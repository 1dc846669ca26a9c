/** @file Layouts of weights, and the launches that make them; `weights.ts` runs those once a weight. */

import { elementCount, type WeightPacking } from '../kernel.ts';
import { defineLaunch, type TypedLaunch } from '../launch.ts';

export const convertWeightLaunch = defineLaunch('convert_weight', {
  stored: 'pointer',
  y: 'pointer',
  count: 'i64',
  type: 'i32',
  half: 'i32',
});

export const packFiltersLaunch = defineLaunch('pack_filters', {
  source: 'pointer',
  packed: 'pointer',
  filters: 'i64',
  channels: 'i32',
  taps: 'i32',
  half: 'i32',
});

/** The struct CalotypePackArgs. */
const PACK = {
  in: 'pointer',
  out: 'pointer',
  outChannels: 'i32',
  channels: 'i32',
  kernelHeight: 'i32',
  kernelWidth: 'i32',
} as const;

export const packConvUpsampleLaunch = defineLaunch('pack_conv_upsample', PACK);
export const packGegluLaunch = defineLaunch('pack_geglu', PACK);

/** Row-major as torch stores it: what a weight becomes for a kernel that names no packing. */
export const PLAIN: WeightPacking = { key: 'plain', elements: elementCount };

/** Filters [out][ky][kx][channel], for implicit matrix products over NHWC. */
export const FILTERS: WeightPacking = {
  key: 'filters',
  elements: elementCount,
  launch([filters, channels, ...taps], half) {
    const sizes = { filters, channels, taps: elementCount(taps), half: half ? 1 : 0 };
    return packFiltersLaunch.with({ source: 'source', packed: 'packed', ...sizes });
  },
};

/** The four 2x2 filters [phase][out][ky][kx][channel] that a 3x3 filter is over an image that is doubled while it is read. */
export const PHASES: WeightPacking = {
  key: 'phases',
  elements: ([filters, channels]) => 4 * filters * channels * 4,
  launch: (shape) => packHalves(packConvUpsampleLaunch, shape),
};

/** Rows in blocks of eight values and their eight gates; of a matrix [out, in] or a bias [out]. */
export const GATED: WeightPacking = {
  key: 'gated',
  elements: elementCount,
  launch: (shape) => packHalves(packGegluLaunch, shape),
};

function packHalves(
  type: TypedLaunch<typeof PACK>,
  [outChannels, channels = 1, kernelHeight = 1, kernelWidth = 1]: readonly number[],
) {
  return type.with({ in: 'source', out: 'packed', outChannels, channels, kernelHeight, kernelWidth });
}
