/** @file Reference for addScaled. */

import type { AddScaledOp } from '../../../graph/ops/add-scaled.ts';
import { lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const addScaled: ReferenceOp<AddScaledOp> = ({ x, addend, scale }, { column }) => {
  const channels = lastAxis(x.shape);
  const columns = lastAxis(scale.shape);
  const perImage = x.data.length / x.shape[0];
  const isVector = addend.shape.length < x.shape.length;
  return mapElements(x.data.length, (i) => {
    const image = Math.floor(i / perImage);
    const at = isVector ? image * channels + (i % channels) : i;
    return x.data[i] + scale.data[image * columns + column] * addend.data[at];
  });
};
