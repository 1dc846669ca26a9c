/**
 * @file `npm run bench -- stable-fast|diffusion-fast`: calotype on what others published, beside their figures.
 *
 * Published figures are from other machines' days: the README of stable-fast (commit 2b9b84e, H100) and PyTorch's
 * "Accelerating Generative AI, part III" (diffusion-fast, A100), whose scripts run SD 1.5, SSD-1B and PixArt, too, but give
 * figures of SDXL alone. For a comparison on one card see `unet`.
 */
import { writeFileSync } from 'node:fs';
import * as v from 'valibot';
import { table } from '../cli/src/table.ts';
import { benchModel, networkOptions, SD15_CONTROLNET, type BenchModel } from './models.ts';
import { bench, megabytes, nvidiaCard, print, readOwnOptions } from './processes.ts';

const Figures = v.looseObject({ throughputMs: v.number(), hostMs: v.number(), memoryBytes: v.number() });
type Figures = v.InferOutput<typeof Figures>;

/** Steps a second with guidance, one picture at once, on an H100: torch 2.1, torch.compile, stable-fast. */
const STABLE_FAST: readonly {
  readonly name: string;
  readonly model: BenchModel;
  readonly options?: readonly string[];
  readonly published: readonly [string, string, string];
}[] = [
  { name: 'SD 1.5, 512x512', model: benchModel('sd15'), published: ['54.5', '66.0', '104.6'] },
  {
    name: '... with a ControlNet',
    model: benchModel('sd15'),
    options: ['--controlnet', SD15_CONTROLNET],
    published: ['35.8', '', '72.6'],
  },
  { name: 'SD 2.1, 512x512', model: { ...benchModel('sd21'), size: 512 }, published: ['', '', ''] },
  { name: 'SDXL, 1024x1024', model: benchModel('sdxl'), published: ['14.9', '18.5', '21.6'] },
];

/** A rung of diffusion-fast's ladder that can be climbed here. */
interface Rung {
  readonly name: string;
  readonly options: readonly string[];
  readonly steps: number;
  /** Seconds that SDXL took at it, on an A100. */
  readonly published: string;
}

/** Kernels that hold no scores of attention; without them a rung is what diffusion-fast calls "no SDPA". */
const NAIVE = ['--without-kernels', 'attention-matrix,attention-tiled'];

/** From the plainest up. On WebGPU bfloat16's place is f16's. */
const RUNGS: Readonly<Record<string, readonly Rung[]>> = {
  cuda: [
    { name: 'f32', options: ['--dtype', 'f32'], steps: 3, published: '7.36' },
    {
      name: 'bf16, fused attention, compiled, QKV fused',
      options: ['--dtype', 'bf16'],
      steps: 20,
      published: '2.52',
    },
    { name: '... int8 dynamic', options: ['--dtype', 'bf16', '--int8'], steps: 20, published: '2.43' },
    { name: '... fp8 dynamic', options: ['--dtype', 'bf16', '--fp8'], steps: 20, published: '' },
  ],
  webgpu: [
    { name: 'f32', options: ['--dtype', 'f32', ...NAIVE], steps: 2, published: '7.36' },
    { name: 'f16', options: ['--dtype', 'f16', ...NAIVE], steps: 3, published: '4.63' },
    { name: '... fused attention', options: ['--without-fusions', 'qkv'], steps: 10, published: '3.31' },
    { name: '... QKV fused, recorded', options: [], steps: 20, published: '2.52' },
    { name: '... int8 dynamic', options: ['--int8'], steps: 20, published: '2.43' },
  ],
};

/** Steps of diffusion-fast's pictures. */
const PICTURE_STEPS = 30;

const OWN_OPTIONS = {
  backend: { type: 'string', default: 'cuda' },
  model: { type: 'string', default: 'sdxl,sd15,ssd-1b,pixart' },
  json: { type: 'string' },
} as const;

/** What both presets take; other options go to `calotype bench`. */
function readOptions(args: readonly string[]): {
  readonly backends: readonly string[];
  readonly models: readonly string[];
  readonly json: string | undefined;
  readonly rest: readonly string[];
} {
  const { values, rest } = readOwnOptions(args, OWN_OPTIONS);
  return {
    backends: String(values.backend).split(','),
    models: String(values.model).split(','),
    json: typeof values.json === 'string' ? values.json : undefined,
    rest,
  };
}

function time(network: 'unet' | 'vae', model: BenchModel, options: readonly string[]): Figures {
  const { folder, size } = networkOptions(network, model);
  return bench(Figures, [network, '--model', folder, '--size', size, ...options]).figures;
}

function write(file: string | undefined, results: readonly object[]): void {
  const data = { card: nvidiaCard(), date: new Date().toISOString(), results };
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(data, null, 1)}\n`);
}

/** Steps a second of the models in stable-fast's table. */
export function benchStableFast(args: readonly string[]): void {
  const { backends, json, rest } = readOptions(args);
  const results: object[] = [];
  const rows = STABLE_FAST.flatMap(({ name, model, options = [], published }) =>
    backends.map((backend) => {
      const figures = time('unet', model, ['--backend', backend, '--steps', '30', ...options, ...rest]);
      const { throughputMs, hostMs, memoryBytes } = figures;
      results.push({ name, backend, throughputMs, hostMs, memoryBytes });
      const own = [(1000 / throughputMs).toFixed(1), throughputMs.toFixed(2), hostMs.toFixed(3)];
      return [name, backend, ...own, megabytes(memoryBytes), ...published];
    }),
  );
  write(json, results);
  print(`steps a second here (${nvidiaCard() ?? 'no NVIDIA card'}), and as published on an H100`);
  const header = [
    '',
    'on',
    'calotype',
    'ms a step',
    'of the host',
    'memory',
    'torch 2.1',
    'compile',
    'stable-fast',
  ];
  print(table([header, ...rows], [0, 1]));
}

/** Seconds of a picture of each model, rung by rung. */
export function benchDiffusionFast(args: readonly string[]): void {
  const { backends, models, json, rest } = readOptions(args);
  const results: object[] = [];
  print(
    `${PICTURE_STEPS} steps and decoding, here (${nvidiaCard() ?? 'no NVIDIA card'}), and SDXL's by diffusion-fast on an A100`,
  );
  for (const name of models)
    for (const backend of backends) {
      const rungs = RUNGS[backend];
      if (rungs === undefined) throw new Error(`--backend takes ${Object.keys(RUNGS).join(', ')}`);
      const rows = rungs.map((rung) => {
        const how = ['--backend', backend, ...rung.options, ...rest];
        const step = time('unet', benchModel(name), [...how, '--steps', String(rung.steps)]);
        const decode = time('vae', benchModel(name), [...how, '--steps', '3']);
        const seconds = (PICTURE_STEPS * step.throughputMs + decode.throughputMs) / 1000;
        const { throughputMs: stepMs, memoryBytes } = step;
        results.push({
          model: name,
          backend,
          rung: rung.name,
          stepMs,
          decodeMs: decode.throughputMs,
          seconds,
          memoryBytes,
        });
        const own = [
          stepMs.toFixed(2),
          decode.throughputMs.toFixed(2),
          seconds.toFixed(2),
          megabytes(memoryBytes),
        ];
        return [rung.name, ...own, name === 'sdxl' ? rung.published : ''];
      });
      write(json, results);
      const header = [
        `${name} on ${backend}`,
        'ms a step',
        'decoding',
        'seconds',
        'memory',
        'diffusion-fast',
      ];
      print(`\n${table([header, ...rows])}`);
    }
}
