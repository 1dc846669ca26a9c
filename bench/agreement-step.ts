/**
 * @file `npm run bench -- agreement-step FOLDER`: one step of a model that bench/torch-agreement.py made, compared with what
 * that gave. `agreement` runs it for each model and backend in a process of its own, so that the driver tells its memory.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DiffusionPipeline, type CallOptions, type Tensor } from 'calotype';
import * as v from 'valibot';
import { backendsOf, prepareBackend, readBackend } from '../cli/src/backends.ts';
import { print, watchMemory } from './processes.ts';

/** What diffusers computes with; see bench/torch-agreement.py. */
const GUIDANCE = 2;

/** How far what came out is from what diffusers gives in float32, and the most memory until then. */
const Figures = v.object({ nmse: v.number(), driverBytes: v.optional(v.number()) });
/** What this prints. */
export const StepFigures = v.object({
  backend: v.string(),
  description: v.string(),
  step: Figures,
  picture: v.optional(Figures),
  ownBytes: v.optional(v.number()),
  loadSeconds: v.number(),
});

/** Runs it and prints one line of JSON. */
export async function benchAgreementStep(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      backend: { type: 'string' },
      adapter: { type: 'string' },
      dtype: { type: 'string', default: 'f16' },
    },
  });
  const [folder = ''] = positionals;
  const choice = readBackend(values);
  await prepareBackend(choice);
  const watch = watchMemory();
  try {
    print(
      JSON.stringify(await compare(folder, choice, v.parse(v.picklist(['f16', 'f32']), values.dtype), watch)),
    );
  } finally {
    watch.end();
  }
}

async function compare(
  folder: string,
  choice: ReturnType<typeof readBackend>,
  dtype: 'f16' | 'f32',
  watch: ReturnType<typeof watchMemory>,
): Promise<v.InferOutput<typeof StepFigures>> {
  const { step: truth, picture, ...inputs } = readTensors(join(folder, 'tensors'));
  const begin = performance.now();
  const controlnet = join(folder, 'controlnet');
  const pipe = await DiffusionPipeline.fromPretrained(join(folder, 'model'), {
    backends: backendsOf(choice),
    dtype,
    ...(existsSync(controlnet) && { controlnet }),
  });
  try {
    const [, , height, width] = (inputs['latents'] ?? inputs['image']).shape;
    const options: CallOptions = {
      ...inputs,
      height: 8 * height,
      width: 8 * width,
      numInferenceSteps: 1,
      guidanceScale: GUIDANCE,
      // Refiners begin where another model stopped: here at once.
      ...('image' in inputs && { denoisingStart: 1e-4 }),
      ...(pipe.className === 'PixArtAlphaPipeline' && { useResolutionBinning: false }),
    };
    const drawn = await pipe({ ...options, outputType: 'latent' });
    const result = {
      backend: pipe.backend.name,
      description: pipe.backend.description,
      loadSeconds: (performance.now() - begin) / 1000,
      step: compared(drawn.latents, truth, watch),
    };
    const ownBytes = drawn.memory?.peakDeviceBytes;
    const base = { ...result, ...(ownBytes !== undefined && { ownBytes }) };
    if (picture === undefined) return base;
    const { np } = await pipe({ ...options, outputType: 'np' });
    return { ...base, picture: compared(np, picture, watch) };
  } finally {
    await pipe.dispose();
  }
}

function compared(
  value: Tensor | undefined,
  truth: Tensor,
  watch: ReturnType<typeof watchMemory>,
): v.InferOutput<typeof Figures> {
  if (value?.shape.join() !== truth.shape.join())
    throw new Error(`[${value?.shape.join(', ')}] is not of the shape [${truth.shape.join(', ')}]`);
  const driverBytes = watch.peak();
  return { nmse: nmse(value.data, truth.data), ...(driverBytes !== undefined && { driverBytes }) };
}

/** The sum of squared differences over the sum of squares. */
function nmse(value: Float32Array, truth: Float32Array): number {
  let difference = 0;
  let all = 0;
  for (const [i, number] of truth.entries()) {
    difference += (value[i] - number) ** 2;
    all += number ** 2;
  }
  return difference / all;
}

/** What bench/torch-agreement.py wrote, by the names of a call's options. */
function readTensors(folder: string): Record<string, Tensor> {
  const schema = v.record(v.string(), v.array(v.number()));
  const shapes = v.parse(schema, JSON.parse(readFileSync(join(folder, 'shapes.json'), 'utf8')));
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const bytes = readFileSync(join(folder, `${name}.f32`));
      return [name, { shape, data: new Float32Array(Uint8Array.from(bytes).buffer) }];
    }),
  );
}
