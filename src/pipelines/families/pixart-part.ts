/** @file PixArt's network, loaded with the first such model. Its text side is load-pixart-text.ts. */

import { laterPart } from '../../later.ts';

export const PIXART = laterPart('PixArt', () => import('./pixart-network.ts'));
