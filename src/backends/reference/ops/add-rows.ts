/** @file Reference for addRows. */

import type { AddRowsOp } from '../../../graph/ops/add-rows.ts';
import { lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const addRows: ReferenceOp<AddRowsOp> = ({ x, rows, rowIndex }) => {
  const channels = lastAxis(x.shape);
  const perImage = x.data.length / x.shape[0];
  return mapElements(x.data.length, (i) => {
    const image = Math.floor(i / perImage);
    const row = rowIndex ? rowIndex.data[image] : image;
    return x.data[i] + rows.data[row * channels + (i % channels)];
  });
};
