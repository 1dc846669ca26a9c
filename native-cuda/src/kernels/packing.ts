/** @file Layouts of weights, and the launches that make them; `weights.ts` runs those once a weight. */

import { elementCount, type WeightPacking } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';

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
