/** @file Reference for window. */

import type { WindowOp } from '../../../graph/ops/window.ts';
import { elementCount, type ReferenceOp } from '../op.ts';

export const window: ReferenceOp<WindowOp> = ({ x }, { start }, output) =>
  x.data.slice(start, start + elementCount(output));
