/** @file Reference for guidanceFactor. */

import type { GuidanceFactorOp } from '../../../graph/ops/guidance-factor.ts';
import { rescaleFactor } from '../guide.ts';
import { mapElements, type ReferenceOp } from '../op.ts';

export const guidanceFactor: ReferenceOp<GuidanceFactorOp> = ({ output, coefficients, row }) =>
  mapElements(row.data.length, (image) => rescaleFactor(output, coefficients, row.data[image], image));
