/** @file What a run starts from: noise, as diffusers' text-to-image pipelines do, or a picture (image-latents.ts). */

import { later } from '../later.ts';
import { OptionError } from '../errors.ts';
import type { Box } from '../image/resize.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import type { ImageShape } from '../tensor/layout.ts';
import type { Repaint } from './denoise/denoise-programs.ts';
import type { Task } from './options/image-options.ts';
import type { ProgramOptions } from './network.ts';
import type { Noise } from './noise.ts';
import type { CheckedOptions, Tensor } from './options/call-options.ts';
import type { Vae } from './image/vae.ts';

/** What the first step works on. */
export interface Start {
  /** [images, channels, height, width] */
  readonly latents: Float32Array;
  /** For masks and a UNet that is not made for inpainting. */
  readonly repaint?: Repaint;
  /** For one that is: mask and masked image [images, height, width, 1 + channels]. */
  readonly condition?: Float32Array;
  /** For the x4 upscaler: how much noise was put on the picture, which is its condition. */
  readonly noiseLevel?: number;
}

/** What a start is made from. */
export interface StartOptions {
  readonly options: CheckedOptions;
  readonly scheduler: Scheduler;
  /** Index of the timestep that the run begins at. */
  readonly begin: number;
  readonly vae: Vae;
  /** Whether the UNet is made for inpainting. */
  readonly inpaints: boolean;
  /** Of the run's latents. */
  readonly shape: ImageShape;
  readonly noise: Noise;
  /** Whether encoded latents are normalised; see `Vae.scale`. */
  readonly normalized: boolean;
  /** The x4 upscaler's second scheduler, which puts noise on the picture. */
  readonly lowResScheduler?: Scheduler | undefined;
  /** The part of the pictures to work on; default all. */
  readonly region?: Box | undefined;
  readonly programs: ProgramOptions;
}

/** @throws OptionError for images, masks and latents that do not fit the call. */
export async function prepareStart(task: Task, context: StartOptions): Promise<Start> {
  if (task.kind !== 'text') {
    const { startFromImage } = await later('pictures', () => import('./image/image-latents.ts'));
    return startFromImage(task, context);
  }
  const { options, scheduler, shape, noise } = context;
  const initial = givenLatents(options.latents, shape) ?? noise.draw(shape);
  return { latents: asStrongAs(scheduler, initial) };
}

/** Noise as the first step expects it. */
export function asStrongAs({ initNoiseSigma }: Scheduler, noise: Float32Array): Float32Array {
  return noise.map((value) => value * initNoiseSigma);
}

/** Given latents do not move the generator on, as in diffusers. */
export function givenLatents(given: Tensor | undefined, shape: ImageShape): Float32Array | undefined {
  if (!given) return undefined;
  if (given.shape.length !== shape.length || given.shape.some((size, i) => size !== shape[i]))
    throw new OptionError(`they are [${given.shape.join(', ')}], but this call needs [${shape.join(', ')}]`, {
      field: 'latents',
      remedy: 'Give latents of that shape, or change height, width or the number of images',
    });
  return given.data;
}
