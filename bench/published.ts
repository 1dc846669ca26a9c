/**
 * @file `npm run bench -- stable-fast|diffusion-fast`: the CUDA backend on what others published, beside their figures.
 *
 * Published figures are from other machines' days: the README of stable-fast (commit 2b9b84e, H100) and PyTorch's
 * "Accelerating Generative AI, part III" (diffusion-fast, A100). For a comparison on one card see `unet`.
 */
import * as v from 'valibot';
import { table } from '../cli/src/table.ts';
import { bench, nvidiaCard, print } from './processes.ts';

const Figures = v.looseObject({ throughputMs: v.number(), hostMs: v.number(), memoryBytes: v.number() });
type Figures = v.InferOutput<typeof Figures>;

const CONFIGS = 'test/fixtures/configs';
const SDXL = `${CONFIGS}/sdxl-base-1.0`;

/** Steps a second with guidance, one picture at once, on an H100: torch 2.1, torch.compile, stable-fast. */
const STABLE_FAST = [
  {
    name: 'SD 1.5, 512x512',
    model: `${CONFIGS}/sd15`,
    size: '512x512',
    published: ['54.5', '66.0', '104.6'],
  },
  { name: 'SD 2.1, 512x512', model: `${CONFIGS}/sd21`, size: '512x512', published: ['', '', ''] },
  { name: 'SDXL, 1024x1024', model: SDXL, size: '1024x1024', published: ['14.9', '18.5', '21.6'] },
];

/** Rungs that can be climbed here, and what diffusion-fast took at them: 30 steps of SDXL and decoding, on an A100. */
const DIFFUSION_FAST = [
  { name: 'f32', options: ['--dtype', 'f32'], steps: 3, published: '7.36' },
  {
    name: 'bf16, fused attention, compiled, QKV fused',
    options: ['--dtype', 'bf16'],
    steps: 20,
    published: '2.52',
  },
  { name: '... int8 dynamic', options: ['--dtype', 'bf16', '--int8'], steps: 20, published: '2.43' },
  { name: '... fp8 dynamic', options: ['--dtype', 'bf16', '--fp8'], steps: 20, published: '' },
];

/** Steps of diffusion-fast's pictures. */
const PICTURE_STEPS = 30;

function onCuda(network: 'unet' | 'vae', options: readonly string[]): Figures {
  return bench(Figures, [network, '--backend', 'cuda', ...options]).figures;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

/** Steps a second of the models in stable-fast's table. */
export function benchStableFast(): void {
  const rows = STABLE_FAST.map(({ name, model, size, published }) => {
    const options = ['--model', model, '--size', size, '--steps', '30'];
    const { throughputMs, hostMs, memoryBytes } = onCuda('unet', options);
    const own = [(1000 / throughputMs).toFixed(1), throughputMs.toFixed(2), hostMs.toFixed(3)];
    return [name, ...own, megabytes(memoryBytes), ...published];
  });
  print(`steps a second here (${nvidiaCard() ?? 'no NVIDIA card'}), and as published on an H100`);
  const header = [
    '',
    'calotype',
    'ms a step',
    'of the host',
    'memory',
    'torch 2.1',
    'compile',
    'stable-fast',
  ];
  print(table([header, ...rows]));
}

/** Seconds of a picture of SDXL, rung by rung. */
export function benchDiffusionFast(): void {
  const rows = DIFFUSION_FAST.map(({ name, options, steps, published }) => {
    const model = ['--model', SDXL, ...options];
    const step = onCuda('unet', [...model, '--steps', String(steps)]);
    const decode = onCuda('vae', [...model, '--steps', '3']);
    const seconds = (PICTURE_STEPS * step.throughputMs + decode.throughputMs) / 1000;
    const own = [step.throughputMs.toFixed(2), decode.throughputMs.toFixed(2), seconds.toFixed(2)];
    return [name, ...own, megabytes(step.memoryBytes), published];
  });
  print(
    `SDXL, ${PICTURE_STEPS} steps and decoding, here (${nvidiaCard() ?? 'no NVIDIA card'}) and on an A100`,
  );
  print(table([['', 'ms a step', 'decoding', 'seconds', 'memory', 'diffusion-fast'], ...rows]));
}
