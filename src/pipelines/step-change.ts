/** @file What `callbackOnStepEnd` returned, checked, and taken into the state of a run. */

import { toNhwc, type ImageShape } from '../tensor/layout.ts';
import type { StepChange } from './options/call-options.ts';
import { checkTensor, refuse } from './options/checks.ts';
import { checkOptionNames } from '../option-names.ts';

const FIELD = 'callbackOnStepEnd';

/**
 * A state with other latents, if the callback gave some.
 * @param shape of the latents, which are the first part of the state, with channels last
 * @param read reads the state after the step
 * @throws OptionError for what is no change, and for latents of another shape
 */
export async function changedState(
  change: StepChange,
  shape: ImageShape,
  read: () => Promise<Float32Array>,
): Promise<Float32Array | undefined> {
  checkOptionNames(FIELD, change, ['latents']);
  const { latents } = change;
  if (latents === undefined) return undefined;
  checkTensor(FIELD, latents);
  if (latents.shape.join() !== shape.join())
    refuse(
      FIELD,
      `it returned latents of [${latents.shape.join(', ')}], but those of this call are [${shape.join(', ')}]`,
      'Return latents of the shape that the step has',
    );
  const state = (await read()).slice();
  state.set(toNhwc(latents.data, shape));
  return state;
}
