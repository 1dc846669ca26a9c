/** @file `pipe.enableFreeU`: its options as factors of the first up blocks. */

import type { FreeUScales } from '../../models/blocks/unet-blocks.ts';
import { checkOptionNames } from '../../option-names.ts';
import { refuse } from '../options/checks.ts';

/** FreeU's factors, named as in diffusers: for the first and the second up block. */
export interface FreeUOptions {
  /** Of the skip connections' lowest frequencies, in the first up block. */
  readonly s1: number;
  /** The same in the second up block. */
  readonly s2: number;
  /** Of half of the backbone's channels, in the first up block. */
  readonly b1: number;
  /** The same in the second up block. */
  readonly b2: number;
}

const FACTORS = ['s1', 's2', 'b1', 'b2'] as const satisfies readonly (keyof FreeUOptions)[];

/** @throws OptionError for a factor that is missing, not a number, or 0, with which diffusers leaves FreeU off unasked */
export function freeUScales(options: FreeUOptions): readonly FreeUScales[] {
  checkOptionNames('enableFreeU', options, FACTORS);
  for (const name of FACTORS)
    if (!Number.isFinite(options[name]) || options[name] === 0)
      refuse(name, `${options[name]} is not a number other than 0`, 'Give all four: s1, s2, b1 and b2');
  const { s1, s2, b1, b2 } = options;
  return [
    { backbone: b1, skip: s1 },
    { backbone: b2, skip: s2 },
  ];
}
