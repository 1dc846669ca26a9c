/** @file ControlNets need a UNet. */

import { OptionError } from '../../errors.ts';

/** Throws OptionError where ControlNets are to be put beside a transformer. */
export function refuseControlNets(nets: readonly unknown[], model: string): void {
  if (nets.length > 0)
    throw new OptionError(`ControlNets are for UNets, and ${model} has a transformer`, {
      field: 'controlnet',
      remedy: 'Leave it out, or use a Stable Diffusion model',
    });
}
