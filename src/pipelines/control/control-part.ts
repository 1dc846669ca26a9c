/** @file ControlNets, loaded with the first pipeline that has some. */

import { laterPart } from '../../later.ts';

export const CONTROL = laterPart('ControlNets', () => import('./control-networks.ts'));
