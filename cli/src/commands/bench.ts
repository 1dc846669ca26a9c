/** @file `calotype bench`: times a denoising step or a VAE op by op, whole pictures, or what each optimisation gains. */
import { writeFile } from 'node:fs/promises';
import { DAWN_SETTINGS, openBackend, openModel, OptionError } from 'calotype';
import { defineCommand } from 'citty';
import { argumentReader, listOf } from '../arguments.ts';
import { BACKEND_ARGS, backendsOf, describeAttempt, prepareBackend, readBackend } from '../backends.ts';
import { benchLadder, formatLadder } from '../bench/ladder.ts';
import { benchNetwork, formatFigures } from '../bench/network.ts';
import { BUDGET_ARGS, readBudget } from '../budget.ts';
import { pictureOfTime } from '../bench/picture-of-time.ts';
import { benchPicture } from '../bench/picture.ts';
import { describeSwitches, readSwitches, SWITCH_ARGS, webGpuOptions } from '../bench/switches.ts';
import { interruptible } from '../interrupt.ts';
import { readChoice, readInteger, readNumber, readSize } from '../options.ts';
import { Progress, type Advance } from '../progress.ts';
import { starterModel } from '../starter.ts';

const ARGS = {
  what: {
    type: 'positional',
    required: false,
    description:
      'unet: a step with random weights, from the configs alone (default). vae: decoding, likewise. ladder: a step ' +
      'on WebGPU with more and more of what makes it fast. picture: whole pictures',
  },
  model: {
    type: 'string',
    alias: 'm',
    valueHint: 'model',
    description: 'Folder or Hub id (the starter model)',
  },
  controlnet: {
    type: 'string',
    valueHint: 'models',
    description: 'unet: folders or Hub ids of ControlNets that run with it, by commas',
  },
  prompt: { type: 'string', valueHint: 'text', description: 'picture: what to draw ("a red apple, 3D")' },
  size: { type: 'string', valueHint: 'WxH', description: 'Pixels (what the model was trained at)' },
  steps: {
    type: 'string',
    valueHint: 'n',
    description: 'Runs to time, after two that are not (10). picture: steps of each (recommended)',
  },
  batch: { type: 'string', valueHint: 'n', description: 'unet, vae: pictures at once (1)' },
  repeats: { type: 'string', valueHint: 'n', description: 'picture: pictures after the first (3)' },
  dtype: {
    type: 'string',
    valueHint: 'f16|bf16|f32',
    description: 'Storage of weights, and of activations where the device computes in f16 (f16 if it does)',
  },
  ...BUDGET_ARGS,
  ...BACKEND_ARGS,
  ...SWITCH_ARGS,
  'peak-gflops': {
    type: 'string',
    valueHint: 'x',
    description: 'Roof of arithmetic, GFLOP/s (what the backend measures)',
  },
  'peak-gbps': {
    type: 'string',
    valueHint: 'x',
    description: 'Roof of memory, GB/s (what the backend measures)',
  },
  json: { type: 'string', valueHint: 'file', description: 'Write the figures there too' },
  svg: {
    type: 'string',
    valueHint: 'file',
    description: 'unet, vae: draw there where the time goes',
  },
} as const;

type Arguments = Readonly<Partial<Record<keyof typeof ARGS, unknown>>>;

/** What a benchmark gives: text for people, data, and a picture if it has one. */
interface Report {
  readonly text: string;
  readonly data: object;
  readonly svg?: string;
}

export const bench = defineCommand({
  meta: {
    name: 'bench',
    description: 'Time a denoising step or a VAE, whole and op by op, or whole pictures',
  },
  args: ARGS,
  async run({ args }) {
    const benchmark = readRequest(args);
    await prepareBackend(readBackend(args));
    const progress = new Progress();
    try {
      const { text, data, svg } = await interruptible((signal) =>
        benchmark(signal, (advance) => progress.report(advance)),
      );
      progress.end();
      process.stdout.write(`${text}\n`);
      if (args.json !== undefined) await writeFile(args.json, `${JSON.stringify(data, null, 1)}\n`);
      if (args.svg !== undefined && svg !== undefined) await writeFile(args.svg, svg);
    } finally {
      progress.end();
    }
  },
});

type Benchmark = (signal: AbortSignal, onAdvance: (advance: Advance) => void) => Promise<Report>;

/** Checks all options before anything is done. Throws OptionError. */
export function readRequest(args: Arguments): Benchmark {
  const { text, read } = argumentReader<keyof Arguments>(args);
  const what = readChoice('WHAT', text('what') ?? 'unet', ['unet', 'vae', 'ladder', 'picture']);
  const model = text('model') ?? starterModel();
  const size = read('size', readSize) ?? {};
  const steps = read('steps', (name, value) => readInteger(name, value, { min: 1, max: 10_000 }));
  const batch = read('batch', (name, value) => readInteger(name, value, { min: 1, max: 1024 }));
  const dtype = read('dtype', (name, value) => readChoice(name, value, ['f16', 'bf16', 'f32']));
  const peak = (option: 'peak-gflops' | 'peak-gbps'): number | undefined =>
    read(option, (name, value) => readNumber(name, value, { min: 1e-3 }) * 1e9);
  const roof = { flops: peak('peak-gflops'), bytes: peak('peak-gbps') };
  const choice = readBackend(args);
  const switches = readSwitches(args);
  const nets = listOf(text('controlnet'));
  const backends = backendsOf(choice, webGpuOptions(switches));
  const { setting } = switches;
  const memory = readBudget(args);
  if (nets.length > 0 && what !== 'unet')
    throw new OptionError('is of a step', {
      field: '--controlnet',
      remedy: 'Leave it out, or use `calotype bench unet`.',
    });
  if (memory && what !== 'picture')
    throw new OptionError('is of whole pictures', {
      field: '--budget',
      remedy: 'Leave it out, or use `calotype bench picture`.',
    });

  if (what === 'picture') {
    const repeats = read('repeats', (name, value) => readInteger(name, value, { min: 1, max: 1000 })) ?? 3;
    const prompt = text('prompt') ?? 'a red apple, 3D';
    return (signal, onAdvance) =>
      benchPicture({
        model,
        prompt,
        backends,
        dtype: dtype ?? 'auto',
        size,
        steps,
        memory,
        repeats,
        signal,
        onAdvance,
      });
  }
  if (what === 'ladder')
    return async (signal, onAdvance) => {
      const source = await openModel(model, {});
      const { adapter } = choice;
      const request = { source, adapter, setting, size, steps: steps ?? 10, roof, signal, onAdvance };
      const { description, rungs } = await benchLadder(request);
      return {
        text: `${source.name} on ${description}, setting ${setting}\n${formatLadder(rungs)}`,
        data: { model: source.name, description, setting, toggles: DAWN_SETTINGS[setting], rungs },
      };
    };
  return async (signal, onAdvance) => {
    const source = await openModel(model, {});
    const controlnets = await Promise.all(nets.map((net) => openModel(net, {})));
    const backend = await openBackend(backends, {
      signal,
      onSkipped: (attempt) => process.stderr.write(`note: ${describeAttempt(attempt)}\n`),
    });
    try {
      const storage = dtype ?? (backend.dtypes.includes('f16') ? 'f16' : 'f32');
      const common = {
        network: what,
        source,
        controlnets,
        backend,
        size,
        ...(batch && { batch }),
        steps: steps ?? 10,
      };
      const figures = await benchNetwork({ ...common, dtype: storage, roof, signal, onAdvance });
      const { name, description } = backend;
      const [toggles, options] =
        name === 'webgpu' ? [DAWN_SETTINGS[setting], describeSwitches(switches)] : [];
      const title = [
        `${[source, ...controlnets].map((each) => each.name).join(' + ')}, ${what} on ${name} (${description}), ${storage}${batch ? `, ${batch} at once` : ''}`,
        ...(toggles ? [`setting ${setting}: ${toggles.join(' ')}`] : []),
        ...(options ? [`options: ${options}`] : []),
        ...(choice.int8 ? ['int8: wide linear layers on signed bytes, which changes the picture'] : []),
      ];
      const body = formatFigures(figures);
      return {
        text: [...title, body].join('\n'),
        data: {
          model: source.name,
          ...(nets.length > 0 && { controlnets: nets }),
          network: what,
          backend: name,
          description,
          dtype: storage,
          batch: batch ?? 1,
          ...(toggles && { setting, toggles, options, int8: choice.int8 }),
          ...figures,
        },
        svg: pictureOfTime(figures.profile, figures.roof, [...title, ...body.split('\n').slice(1, 4)]),
      };
    } finally {
      backend.dispose();
    }
  };
}
