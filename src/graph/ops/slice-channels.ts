/** @file A range of the last axis. */

import { check, dimOf, withChannels, type OpDefinition, type ValueId } from '../op.ts';

export interface SliceChannelsOp {
  readonly inputs: { readonly x: ValueId };
  readonly attrs: { readonly start: number; readonly length: number };
}

export const sliceChannels: OpDefinition<SliceChannelsOp> = {
  summary: 'a range of the last axis',
  infer({ x }, { start, length }) {
    const channels = dimOf(x, -1);
    check(
      typeof channels === 'number' && start >= 0 && start + length <= channels,
      'the range leaves the axis',
    );
    return { shape: withChannels(x, length), dtype: 'float' };
  },
};
