/** @file IP-Adapters, loaded with the first of them. */

import { laterPart } from '../../later.ts';

export const IMAGE_PROMPTS = laterPart('IP-Adapters', () => import('./open-ip-adapters.ts'));
