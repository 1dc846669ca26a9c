/** @file Options whose entries are components: what names they may have. */

import { OptionError } from '../../errors.ts';
import { nearestNames } from '../../nearest-names.ts';
import { COMPONENT_NAMES } from './placement.ts';

/** diffusers' components that have no place of their own, and why. */
const NOT_PLACED: Readonly<Record<string, string>> = {
  controlnet: 'ControlNets run as one graph with the UNet',
  transformer: 'the network that denoises is called unet here, whatever it is',
};

/** Throws OptionError for a name that is no component's. */
export function checkComponentNames(field: string, option: unknown): void {
  if (typeof option !== 'object' || option === null || Array.isArray(option))
    throw new OptionError('is not an object', {
      field,
      remedy: `Give one by components: ${COMPONENT_NAMES.join(', ')}`,
    });
  for (const name of Object.keys(option)) {
    if (COMPONENT_NAMES.some((component) => component === name)) continue;
    const why = Object.hasOwn(NOT_PLACED, name) ? NOT_PLACED[name] : undefined;
    throw new OptionError(why ?? 'is no component that can be placed', {
      field: `${field}.${name}`,
      remedy: why
        ? `Give ${field}.unet`
        : `Did you mean ${nearestNames(name, COMPONENT_NAMES, 1)[0]}? There are ${COMPONENT_NAMES.join(', ')}`,
    });
  }
}
