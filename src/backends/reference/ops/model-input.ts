/** @file Reference for modelInput. */

import type { ModelInputOp } from '../../../graph/ops/model-input.ts';
import { coefficientColumns } from '../../../schedulers/coefficients.ts';
import { elementCount, lastAxis, mapElements, type ReferenceOp } from '../op.ts';

export const modelInput: ReferenceOp<ModelInputOp> = ({ state, coefficients, row }, { slots, copies }) => {
  const columns = coefficientColumns(slots);
  const perSlot = elementCount(state.shape.slice(1));
  const size = perSlot / row.data.length;
  return mapElements(copies * perSlot, (to) => {
    const i = to % perSlot;
    const first = row.data[Math.floor(i / size)] * lastAxis(coefficients.shape) + columns.input;
    let sum = 0;
    for (let j = 0; j < slots; j++) sum += coefficients.data[first + j] * state.data[j * perSlot + i];
    return sum;
  });
};
