/** @file What the ControlNets of a call are given: their pictures, and the weights of what they say at each step. */

import { OptionError } from '../../errors.ts';
import { picturesToArray, resizeNearest, type ImageArray } from '../../image/preprocess.ts';
import type { Box, Size } from '../../image/resize.ts';
import { residualCount } from '../../models/controlnet.ts';
import { stack } from '../prompt/conditioning.ts';
import { controlImageInput } from './control-graph.ts';
import type { Control } from './control.ts';
import { forRows, type GuidanceRow } from '../guidance/guidance-rows.ts';

/** How many rows a call has, and of what. */
export interface ControlRows {
  readonly images: number;
  readonly imagesPerPrompt: number;
  readonly blocks: readonly GuidanceRow[];
}

/**
 * The pictures at the size of the call, one for each row: the inputs of `controlResiduals` that come with the prompt.
 * @param region the part of the pictures that is painted, for `paddingMaskCrop`
 * @throws OptionError for pictures that do not fit the call
 */
export function controlInputs(
  { nets, images: sources }: Control,
  size: Size,
  region: Box | undefined,
  { images, imagesPerPrompt, blocks }: ControlRows,
): Record<string, Float32Array> {
  const entries = sources.map((source, net): [string, Float32Array] => {
    if (source.kind === 'array' && region)
      throw new OptionError('an array cannot be cropped to the mask', {
        field: 'controlImage',
        remedy: 'Give it as a picture, or leave paddingMaskCrop out',
      });
    const array =
      source.kind === 'pictures'
        ? picturesToArray(source.pictures, size, { region })
        : resizeNearest(source.array, size);
    const ordered = nets[net].config.conditioningChannelOrder === 'bgr' ? reversed(array) : array;
    const rows = perImage(ordered, images, imagesPerPrompt);
    return [controlImageInput(net), stack(forRows(blocks, images, (_block, image) => rows[image]))];
  });
  return Object.fromEntries(entries);
}

/** One picture goes with all images, several with the images of a prompt each. */
function perImage({ count, data }: ImageArray, images: number, imagesPerPrompt: number): Float32Array[] {
  if (count !== 1 && count * imagesPerPrompt !== images)
    throw new OptionError(`${count} of them for ${images / imagesPerPrompt} prompts`, {
      field: 'controlImage',
      remedy: 'Give one, or one for each prompt',
    });
  const length = data.length / count;
  return Array.from({ length: images }, (_, image) => {
    const source = count === 1 ? 0 : Math.floor(image / imagesPerPrompt);
    return data.subarray(source * length, (source + 1) * length);
  });
}

/** The channels in the other order. */
function reversed(array: ImageArray): ImageArray {
  const { channels } = array;
  return { ...array, data: array.data.map((_, i, data) => data[i + channels - 1 - 2 * (i % channels)]) };
}

/**
 * The weights of all residuals of all nets: [steps, rows, residuals]. A net is left out of steps that lie before its start
 * or after its end; in guess mode the rows without the prompt have 0, and of the others the finest level has a tenth,
 * growing evenly on a logarithmic scale to the middle's all.
 */
export function controlScales(
  { nets, scales, starts, ends, promptOnly }: Control,
  { taken, planned }: { readonly taken: number; readonly planned: number },
  { images, blocks }: ControlRows,
): Float32Array {
  return stack(
    Array.from({ length: taken }, (_, step) => {
      const weights = nets.flatMap(({ config }, net) => {
        const takesPart = step / planned >= starts[net] && (step + 1) / planned <= ends[net];
        const count = residualCount(config);
        const graded = promptOnly && !config.globalPoolConditions;
        return Array.from(
          { length: count },
          (_unused, i) => (takesPart ? scales[net] : 0) * (graded ? 10 ** (i / (count - 1) - 1) : 1),
        );
      });
      return stack(
        forRows(blocks, images, (block) =>
          Float32Array.from(weights, (weight) => (promptOnly && block === 'negative' ? 0 : weight)),
        ),
      );
    }),
  );
}
