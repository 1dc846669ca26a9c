/** @file Reference for add. */

import type { AddOp } from '../../../graph/ops/add.ts';
import { mapElements, type ReferenceOp } from '../op.ts';

export const add: ReferenceOp<AddOp> = ({ a, b }) => mapElements(a.data.length, (i) => a.data[i] + b.data[i]);
