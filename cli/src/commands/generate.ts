/** @file `calotype generate`: a prompt becomes a picture. */
import { OptionError, SCHEDULER_PRESET_NAMES } from 'calotype';
import { defineCommand } from 'citty';
import { ADDITION_ARGS } from '../addition-args.ts';
import { BACKEND_ARGS, prepareBackend } from '../backends.ts';
import { BUDGET_ARGS } from '../budget.ts';
import { COMPONENT_ARGS } from '../component-backends.ts';
import { readConfig } from '../config.ts';
import { develop, type Developed } from '../develop.ts';
import { interruptible } from '../interrupt.ts';
import { checkOutput, writeFileAtomically } from '../output.ts';
import { readPicture, readPictures } from '../picture.ts';
import { duration, Progress, type Advance } from '../progress.ts';
import { readGenerateRequest } from '../request.ts';
import { starterModel } from '../starter.ts';
import { binaryBytes } from '../table.ts';

export const generate = defineCommand({
  meta: { name: 'generate', description: 'Develop a picture from a prompt' },
  args: {
    prompt: { type: 'positional', required: false, description: 'What to draw, in quotes' },
    config: {
      type: 'string',
      alias: 'c',
      valueHint: 'file',
      description: 'Recipe (.json), or picture with one (.png), to draw again; other options change it',
    },
    output: {
      type: 'string',
      alias: 'o',
      valueHint: 'file.png',
      description: 'Where to write the picture (calotype.png)',
    },
    model: {
      type: 'string',
      alias: 'm',
      valueHint: 'model',
      description: 'Folder, Hugging Face Hub id or .safetensors checkpoint (the starter model)',
    },
    revision: {
      type: 'string',
      valueHint: 'name',
      description: 'Branch, tag or commit of a Hub model (main)',
    },
    variant: { type: 'string', valueHint: 'name', description: 'Variant of the weight files, such as fp16' },
    dtype: {
      type: 'string',
      valueHint: 'auto|f16|bf16|f32',
      description: 'Storage of weights, and of activations where the device computes in f16 (auto)',
    },
    'vae-upcast': {
      type: 'string',
      valueHint: 'whole|overflow',
      description: "What of SDXL's VAE is in f32 where f16 overflows: overflow keeps the rest in f16 (whole)",
    },
    ...BACKEND_ARGS,
    ...COMPONENT_ARGS,
    ...BUDGET_ARGS,
    negative: { type: 'string', alias: 'n', valueHint: 'text', description: 'What to steer away from' },
    'prompt-2': { type: 'string', valueHint: 'text', description: "For SDXL's second text encoder" },
    'negative-2': { type: 'string', valueHint: 'text', description: 'The same, to steer away from' },
    'prompt-syntax': {
      type: 'string',
      valueHint: 'plain|webui',
      description: 'webui reads (word:1.3), [a:b:0.5], [a|b], BREAK and prompts of any length (plain)',
    },
    'clip-skip': { type: 'string', valueHint: 'n', description: 'Layers of the text encoder to leave out' },
    embedding: {
      type: 'string',
      valueHint: 'file[:word]',
      description: 'Textual inversions (.safetensors), several with commas between them',
    },
    lora: {
      type: 'string',
      valueHint: 'file[:weight]',
      description: 'LoRA files (.safetensors or Hub id), several with commas between them; weight 1',
    },
    controlnet: {
      type: 'string',
      valueHint: 'model',
      description: 'ControlNets: folders, Hub ids or .safetensors, several with commas between them',
    },
    'control-image': {
      type: 'string',
      valueHint: 'file.png',
      description: 'What the ControlNet is to see; one for each, with commas between them',
    },
    'control-scale': { type: 'string', valueHint: 'x', description: 'How much of it counts, likewise (1)' },
    'control-start': {
      type: 'string',
      valueHint: 'x',
      description: 'Share of the steps before it counts (0)',
    },
    'control-end': { type: 'string', valueHint: 'x', description: 'Share after which it no longer does (1)' },
    'guess-mode': { type: 'boolean', description: 'Let ControlNets guess what an empty prompt means' },
    steps: { type: 'string', valueHint: 'n', description: 'Denoising steps: fewer are quicker and rougher' },
    size: { type: 'string', valueHint: 'WxH', description: 'Pixels, multiples of 8: smaller is quicker' },
    seed: { type: 'string', valueHint: 'n', description: 'The same seed gives the same picture (random)' },
    guidance: { type: 'string', valueHint: 'x', description: 'How strictly to follow the prompt' },
    'guidance-rescale': { type: 'string', valueHint: 'x', description: 'Against washed-out colours, 0 to 1' },
    image: {
      type: 'string',
      alias: 'i',
      valueHint: 'file.png',
      description: 'Begin with this picture instead of noise alone',
    },
    mask: {
      type: 'string',
      valueHint: 'file.png',
      description: 'Paint only where this picture is white',
    },
    strength: {
      type: 'string',
      valueHint: 'x',
      description: 'How much to change the picture, 0 to 1',
    },
    ...ADDITION_ARGS,
    refiner: {
      type: 'string',
      valueHint: 'model',
      description: 'SDXL refiner that takes over for the last steps',
    },
    'refiner-start': {
      type: 'string',
      valueHint: 'x',
      description: 'Share of the schedule after which it does, 0 to 1 (0.8)',
    },
    scheduler: {
      type: 'string',
      valueHint: 'name',
      description: `${SCHEDULER_PRESET_NAMES.join(', ')} (the model's own)`,
    },
  },
  async run({ args }) {
    const config = args.config === undefined ? undefined : await readConfig(args.config);
    const request = readGenerateRequest({ ...config?.args, ...given(args) });
    if (config && request.model === undefined)
      throw new OptionError('it does not say where the model is', {
        field: '--config',
        remedy: 'Give the model, as --model MODEL.',
      });
    await checkOutput('--output', request.output);
    const { image, mask, control } = request;
    const pictures = {
      ...(control && { controlImage: await readPictures('--control-image', control.images) }),
      ...(image !== undefined && { image: await readPicture('--image', image) }),
      ...(mask !== undefined && { maskImage: await readPicture('--mask', mask) }),
    };
    await prepareBackend(request.backend, request.components);

    const progress = new Progress();
    try {
      const model = request.model ?? starterModel();
      const onAdvance = (advance: Advance): void => progress.report(advance);
      const developed = await interruptible((signal) =>
        develop({ ...request, model, pictures, signal, onAdvance }),
      );
      await writeFileAtomically('--output', request.output, developed.png);
      progress.end();
      for (const notice of [...(config?.notices ?? []), ...developed.notices])
        process.stderr.write(`note: ${notice}\n`);
      process.stdout.write(`${summarize(request.output, developed)}\n`);
    } finally {
      progress.end();
    }
  },
});

/** The arguments that were given. */
function given(args: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
}

/** Where the picture is, what made it, and how long each phase took. */
function summarize(output: string, developed: Developed): string {
  const { width, height, seed, backend, phases, memory, otherMemory } = developed;
  const total = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  const parts = phases.map(({ name, seconds }) => `${name} ${duration(seconds)}`).join(', ');
  const bytes = memory
    ? `\nat most ${binaryBytes(memory.peakDeviceBytes)} on the device, ${binaryBytes(memory.peakHostBytes)} of the host's memory beside it`
    : '';
  const others = otherMemory.map(
    ({ backend: name, components, peakDeviceBytes }) =>
      `\nat most ${binaryBytes(peakDeviceBytes)} on ${name} (${components.join(', ')})`,
  );
  return `${output}: ${width}x${height}, seed ${seed}\n${backend}: ${duration(total)} (${parts})${bytes}${others.join('')}`;
}
