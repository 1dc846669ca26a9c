/** @file LoRA files, loaded with the first of them. */

import { laterPart } from '../../later.ts';

export const LORA = laterPart('LoRA files', () => import('./lora-files.ts'));
