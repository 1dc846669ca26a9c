/**
 * @file The options of `calotype generate` for what is added to a drawing: image prompts, guidance, a second pass, how the VAE
 * works, and what some models want to know. A recipe holds them as they were given.
 */
import { HIRES_UPSCALERS } from 'calotype';
import type { ArgsDef } from 'citty';

/** The options, as citty defines them. */
export const ADDITION_ARGS = {
  'ip-adapter': {
    type: 'string',
    valueHint: 'file',
    description: 'IP-Adapters (.safetensors, or owner/name/folder/file on the Hub), with commas between them',
  },
  'ip-adapter-image': {
    type: 'string',
    valueHint: 'file.png',
    description: 'What the IP-Adapter is to see; one for each, with commas between them',
  },
  'ip-adapter-scale': { type: 'string', valueHint: 'x', description: 'How much of it counts, likewise (1)' },
  'ip-adapter-mask': {
    type: 'string',
    valueHint: 'file.png',
    description: 'Where it counts: where this picture is bright; one for each (everywhere)',
  },
  'image-encoder': {
    type: 'string',
    valueHint: 'folder',
    description: 'Folder of its image encoder; with a / from the repository on (image_encoder beside it)',
  },
  'pag-scale': { type: 'string', valueHint: 'x', description: 'Perturbed-attention guidance, such as 3 (0)' },
  'pag-adaptive-scale': {
    type: 'string',
    valueHint: 'x',
    description: 'How much of it is lost a timestep (0)',
  },
  'pag-layers': { type: 'string', valueHint: 'names', description: 'Layers that it perturbs (mid)' },
  'cache-interval': {
    type: 'string',
    valueHint: 'n',
    description: 'Compute deep features at every n-th step only: faster, but another picture (1)',
  },
  freeu: { type: 'string', valueHint: 's1,s2,b1,b2', description: 'FreeU, such as 0.9,0.2,1.2,1.4' },
  'hires-scale': {
    type: 'string',
    valueHint: 'x',
    description: 'Hires fix: draw over the picture this many times as large',
  },
  'hires-size': { type: 'string', valueHint: 'WxH', description: 'The same at this size' },
  'hires-upscaler': {
    type: 'string',
    valueHint: 'name',
    description: `${HIRES_UPSCALERS.join(', ')} (latent)`,
  },
  'hires-strength': { type: 'string', valueHint: 'x', description: 'How much it changes, 0 to 1 (0.7)' },
  'hires-steps': { type: 'string', valueHint: 'n', description: 'Steps of its schedule (those of --steps)' },
  'noise-level': {
    type: 'string',
    valueHint: 'n',
    description: 'x4 upscaler: noise put on the picture (20)',
  },
  'vae-tiling': {
    type: 'boolean',
    description: 'Encode and decode large pictures tile by tile: less memory',
  },
  'vae-slicing': { type: 'boolean', description: 'Encode and decode several pictures one by one' },
  'original-size': { type: 'string', valueHint: 'WxH', description: 'SDXL: size before training cropped it' },
  'target-size': {
    type: 'string',
    valueHint: 'WxH',
    description: 'SDXL: size after it (that of the picture)',
  },
  'crops-coords': { type: 'string', valueHint: 'TOP,LEFT', description: 'SDXL: where it was cropped (0,0)' },
  'negative-original-size': { type: 'string', valueHint: 'WxH', description: 'The same, to steer away from' },
  'negative-target-size': { type: 'string', valueHint: 'WxH', description: 'The same, to steer away from' },
  'negative-crops-coords': {
    type: 'string',
    valueHint: 'TOP,LEFT',
    description: 'The same, to steer away from',
  },
  'aesthetic-score': { type: 'string', valueHint: 'x', description: 'SDXL refiners: 1 to 10 (6)' },
  'negative-aesthetic-score': { type: 'string', valueHint: 'x', description: 'To steer away from (2.5)' },
} as const satisfies ArgsDef;

/** The argument for each entry of a recipe: `hiresScale` for `hires-scale`. */
export const ADDITION_ENTRIES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.keys(ADDITION_ARGS).map((argument) => [
    argument.replace(/-(\w)/g, (_match, letter: string) => letter.toUpperCase()),
    argument,
  ]),
);
