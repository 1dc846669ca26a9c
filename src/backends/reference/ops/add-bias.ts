/** @file Reference for addBias. */

import type { AddBiasOp } from '../../../graph/ops/add-bias.ts';
import { mapElements, type ReferenceOp } from '../op.ts';

export const addBias: ReferenceOp<AddBiasOp> = ({ x, bias }) =>
  mapElements(x.data.length, (i) => x.data[i] + bias.data[i % bias.data.length]);
