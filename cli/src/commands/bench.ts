/** @file `calotype bench`: times a denoising step op by op, or whole pictures. */
import { writeFile } from 'node:fs/promises';
import { openBackend, openModel } from 'calotype';
import { defineCommand } from 'citty';
import { BACKEND_ARGS, backendsOf, describeAttempt, prepareBackend, readBackend } from '../backends.ts';
import { benchPicture } from '../bench/picture.ts';
import { benchUNet } from '../bench/unet.ts';
import { interruptible } from '../interrupt.ts';
import { readChoice, readInteger, readNumber, readSize } from '../options.ts';
import { Progress, type Advance } from '../progress.ts';
import { starterModel } from '../starter.ts';

export const bench = defineCommand({
  meta: { name: 'bench', description: 'Time a denoising step, whole and op by op, or whole pictures' },
  args: {
    what: {
      type: 'positional',
      required: false,
      description:
        'unet: a step with random weights, from the config alone (default). picture: whole pictures',
    },
    model: {
      type: 'string',
      alias: 'm',
      valueHint: 'model',
      description: 'Folder or Hub id (the starter model)',
    },
    prompt: { type: 'string', valueHint: 'text', description: 'picture: what to draw ("a red apple, 3D")' },
    size: { type: 'string', valueHint: 'WxH', description: 'Pixels (what the model was trained at)' },
    steps: {
      type: 'string',
      valueHint: 'n',
      description: 'unet: steps to time, after two that are not (10). picture: steps of each (recommended)',
    },
    repeats: { type: 'string', valueHint: 'n', description: 'picture: pictures after the first (3)' },
    dtype: {
      type: 'string',
      valueHint: 'f16|f32',
      description: 'Storage of weights, and of activations where the device computes in f16 (f16 if it does)',
    },
    ...BACKEND_ARGS,
    'peak-gflops': {
      type: 'string',
      valueHint: 'x',
      description: 'unet: roof of arithmetic, GFLOP/s (what the backend measures, or the best op)',
    },
    'peak-gbps': { type: 'string', valueHint: 'x', description: 'unet: roof of memory, GB/s (the best op)' },
    json: { type: 'string', valueHint: 'file', description: 'Write the figures there too' },
  },
  async run({ args }) {
    const what = readChoice('WHAT', args.what ?? 'unet', ['unet', 'picture']);
    const size = args.size === undefined ? {} : readSize('--size', args.size);
    const steps =
      args.steps === undefined ? undefined : readInteger('--steps', args.steps, { min: 1, max: 10_000 });
    const repeats = readInteger('--repeats', args.repeats ?? '3', { min: 1, max: 1000 });
    const dtype = args.dtype === undefined ? undefined : readChoice('--dtype', args.dtype, ['f16', 'f32']);
    const peak = (option: 'peak-gflops' | 'peak-gbps'): number | undefined => {
      const text = args[option];
      return text === undefined ? undefined : readNumber(`--${option}`, text, { min: 1e-3 }) * 1e9;
    };
    const roof = { flops: peak('peak-gflops'), bytes: peak('peak-gbps') };
    const choice = readBackend(args);
    const backends = backendsOf(choice);
    await prepareBackend(choice);
    const model = args.model ?? starterModel();
    const progress = new Progress();
    const onAdvance = (advance: Advance): void => progress.report(advance);
    const run = async (signal: AbortSignal): Promise<{ text: string; data: object }> => {
      if (what === 'picture') {
        const prompt = args.prompt ?? 'a red apple, 3D';
        return benchPicture({
          model,
          prompt,
          backends,
          dtype: dtype ?? 'auto',
          size,
          steps,
          repeats,
          signal,
          onAdvance,
        });
      }
      const source = await openModel(model, {});
      const backend = await openBackend(backends, {
        signal,
        onSkipped: (attempt) => process.stderr.write(`note: ${describeAttempt(attempt)}\n`),
      });
      try {
        const storage = dtype ?? (backend.dtypes.includes('f16') ? 'f16' : 'f32');
        const request = {
          source,
          backend,
          dtype: storage,
          size,
          steps: steps ?? 10,
          roof,
          signal,
          onAdvance,
        };
        const { text, data } = await benchUNet(request);
        const { name, description } = backend;
        return {
          text: `${source.name} on ${name} (${description}), ${storage}\n${text}`,
          data: { model: source.name, backend: name, description, dtype: storage, ...data },
        };
      } finally {
        backend.dispose();
      }
    };
    try {
      const { text, data } = await interruptible(run);
      progress.end();
      process.stdout.write(`${text}\n`);
      if (args.json !== undefined) await writeFile(args.json, `${JSON.stringify(data, null, 1)}\n`);
    } finally {
      progress.end();
    }
  },
});
