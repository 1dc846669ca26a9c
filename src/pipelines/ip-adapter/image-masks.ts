/**
 * @file Masks of image prompts: where in the picture each counts, at the resolution of every attention
 * (diffusers image_processor.py, IPAdapterMaskProcessor).
 */
import { masksToArray } from '../../image/preprocess.ts';
import { resizeLatents } from '../../image/resize-latents.ts';
import type { Size } from '../../image/resize.ts';
import type { Pictures, Tensor } from '../options/call-options.ts';
import { checkTensor, refuse } from '../options/checks.ts';
import { readPromptPictures } from '../options/added-pictures.ts';

const FIELD = 'ipAdapterMasks';

/** The masks of one adapter. */
export interface PromptMasks {
  /** How many there are. */
  readonly count: number;
  /** The weights of an attention's queries, row by row, by the mask of this number. */
  weights(mask: number, queries: number): Float32Array;
}

/**
 * The masks of one adapter's pictures.
 * @param size of the picture to be drawn
 * @throws OptionError for masks of another form
 */
export function readPromptMasks(value: Pictures | Tensor, size: Size): PromptMasks {
  const { count, height, width, data } = readMasks(value, size);
  return {
    count,
    weights(mask, queries) {
      const plane = data.subarray(mask * height * width, (mask + 1) * height * width);
      const rows = Math.max(1, Math.floor(Math.sqrt(queries / (width / height))));
      const fitted = rows + (queries % rows === 0 ? 0 : 1);
      const target = { height: fitted, width: Math.floor(queries / fitted) };
      const weights = new Float32Array(queries);
      // Masks of other proportions than the picture's end early or late, as in diffusers.
      if (target.width > 0)
        weights.set(resizeLatents(plane, [1, 1, height, width], target, 'bicubic').subarray(0, queries));
      return weights;
    },
  };
}

function readMasks(value: Pictures | Tensor, size: Size) {
  if (typeof value !== 'object' || value === null || !('shape' in value)) {
    const { count, data } = masksToArray(readPromptPictures(value, FIELD), size);
    return { ...size, count, data };
  }
  checkTensor(FIELD, value);
  const [one, count, height, width] = value.shape;
  if (value.shape.length !== 4 || one !== 1 || value.data.length === 0)
    refuse(
      FIELD,
      `the shape is [${value.shape.join(', ')}]`,
      'Give [1, pictures, height, width], or pictures in black and white',
    );
  return { count, height, width, data: value.data };
}
