/**
 * @file Small pictures of latents without a decoder: one pixel a latent, its colour a linear function of the
 * channels, as ComfyUI's `latent2rgb` preview does (comfy/latent_formats.py holds the same fitted factors).
 */
import type { CalotypeImage } from './image.ts';

/**
 * Whose latents they are: `sd` for Stable Diffusion 1 and 2 and models on TAESD, `sdxl` for SDXL, `unknown` for
 * others, which are shown in false colours.
 */
export type LatentFormat = 'sd' | 'sdxl' | 'unknown';

interface LatentColours {
  /** Red, green and blue of each channel; about -1..1 comes out. */
  readonly factors: readonly (readonly [number, number, number])[];
  readonly bias: readonly [number, number, number];
}

const COLOURS: Readonly<Record<Exclude<LatentFormat, 'unknown'>, LatentColours>> = {
  sd: {
    factors: [
      [0.3512, 0.2297, 0.3227],
      [0.325, 0.4974, 0.235],
      [-0.2829, 0.1762, 0.2721],
      [-0.212, -0.2616, -0.7177],
    ],
    bias: [0, 0, 0],
  },
  sdxl: {
    factors: [
      [0.3651, 0.4232, 0.4341],
      [-0.2533, -0.0042, 0.1068],
      [0.1076, 0.1111, -0.0362],
      [-0.3165, -0.2492, -0.2188],
    ],
    bias: [0.1084, -0.0175, -0.0011],
  },
};

/** False colours: the first three channels as red, green and blue, at half strength since latents reach about +-2. */
function falseColours(channels: number): LatentColours {
  const unit = (channel: number, colour: number) => (Math.min(colour, channels - 1) === channel ? 0.5 : 0);
  const factors = Array.from({ length: channels }, (_, c): [number, number, number] => [
    unit(c, 0),
    unit(c, 1),
    unit(c, 2),
  ]);
  return { factors, bias: [0, 0, 0] };
}

/**
 * Pictures of latents [images, channels, height, width] in the scale that the denoiser works in, of height x width
 * pixels each. Latents whose number of channels is not the format's are shown as `unknown`.
 */
export function previewLatents(
  latents: { readonly shape: readonly number[]; readonly data: Float32Array },
  format: LatentFormat,
): CalotypeImage[] {
  const [images, channels, height, width] = latents.shape;
  const fitted = format === 'unknown' ? undefined : COLOURS[format];
  const { factors, bias } = fitted?.factors.length === channels ? fitted : falseColours(channels);
  const pixels = height * width;
  return Array.from({ length: images }, (_, image) => {
    const data = new Uint8ClampedArray(pixels * 4).fill(255);
    for (let p = 0; p < pixels; p++)
      for (let colour = 0; colour < 3; colour++) {
        let value = bias[colour];
        for (let c = 0; c < channels; c++)
          value += factors[c][colour] * latents.data[(image * channels + c) * pixels + p];
        // The array clamps to 0..255 and rounds.
        data[p * 4 + colour] = (value * 0.5 + 0.5) * 255;
      }
    return { width, height, data };
  });
}
