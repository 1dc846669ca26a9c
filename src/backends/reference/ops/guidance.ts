/** @file Reference for guidance. */

import type { GuidanceOp } from '../../../graph/ops/guidance.ts';
import { guide, rescaleFactor } from '../guide.ts';
import { elementCount, type ReferenceOp } from '../op.ts';

export const guidance: ReferenceOp<GuidanceOp> = ({ output, coefficients, row }, { rescale }, shape) => {
  const result = new Float32Array(elementCount(shape));
  const size = elementCount(shape.slice(1));
  row.data.forEach((r, image) => {
    const factor = rescale ? rescaleFactor(output, coefficients, r, image) : 1;
    const guided = guide(output, coefficients, r, image).map((value) => factor * value);
    result.set(guided, image * size);
  });
  return result;
};
