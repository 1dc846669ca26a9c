/** @file AutoencoderTiny, loaded with the first model that has one. */

import { laterPart } from '../../later.ts';

export const TINY_VAE = laterPart('AutoencoderTiny', () => import('./tiny-vae.ts'));
