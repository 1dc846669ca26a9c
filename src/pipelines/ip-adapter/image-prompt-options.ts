/** @file The options of calls with image prompts, for pipelines that IP-Adapters were loaded into. */

import type { Pictures, Tensor } from '../options/call-options.ts';

/** Image prompts; lists have an entry for each IP-Adapter. */
export interface ImagePromptOptions {
  /**
   * For each adapter a picture, or a list of pictures that it sees together, or null if it does not take part; one adapter
   * may have its picture without a list.
   */
  readonly ipAdapterImage?: Pictures | readonly (Pictures | null)[];
  /**
   * Encoded pictures in their place, one for each adapter: [2, pictures, channels], or [2, pictures, tokens, channels] for
   * adapters that read the encoder's tokens (plus, full face). The first half is what to steer away from; without guidance
   * (scale 1) there is only the second: [1, ...].
   */
  readonly ipAdapterImageEmbeds?: readonly Tensor[];
  /**
   * Where in the picture each image prompt counts (diffusers' `ip_adapter_masks` and its IPAdapterMaskProcessor): one for each
   * adapter that takes part, as pictures that are brought to the call's size and count where they are at least half bright, one for each
   * picture of the adapter; or as an array [1, pictures, height, width] that is taken as it is.
   */
  readonly ipAdapterMasks?: readonly (Pictures | Tensor)[];
}

export const IMAGE_PROMPT_OPTIONS = [
  'ipAdapterImage',
  'ipAdapterImageEmbeds',
  'ipAdapterMasks',
] as const satisfies readonly (keyof ImagePromptOptions)[];
