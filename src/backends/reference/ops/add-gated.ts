/** @file Reference for addGated. */

import type { AddGatedOp } from '../../../graph/ops/add-gated.ts';
import { modulationAt } from '../modulation.ts';
import { lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const addGated: ReferenceOp<AddGatedOp> = ({ x, addend, modulation, table }, { gate }) => {
  const channels = lastAxis(x.shape);
  const perImage = x.data.length / x.shape[0];
  return mapElements(x.data.length, (i) => {
    const at = modulationAt(modulation, table, Math.floor(i / perImage));
    return x.data[i] + at(gate + (i % channels)) * addend.data[i];
  });
};
