/**
 * @file Pictures that diffusers drew for a fixture, and how to draw the same: what tests of backends and programs in other
 * runtimes share. Nothing here knows which runtime it is in, nor Vitest.
 */
import * as v from 'valibot';
import {
  SCHEDULERS,
  type BackendFactory,
  type CallOptions,
  type ComponentBackends,
  type DiffusionPipeline,
  type MemoryOption,
  type Tensor,
} from '../../../src/index.ts';
import { camelCase } from '../pictures.ts';

/** What draws. */
export interface Setup {
  readonly factory: BackendFactory;
  readonly dtype: 'f32' | 'f16';
  /** Components that are elsewhere. */
  readonly componentBackends?: ComponentBackends;
  readonly memory?: MemoryOption;
}

/** The options of loading that say so. */
export function placed({ factory, dtype, componentBackends, memory }: Setup) {
  return {
    backends: [factory],
    dtype,
    ...(componentBackends && { componentBackends }),
    ...(memory && { memory }),
  };
}

/** The cases of a fixture. */
export interface DrawnCases {
  readonly names: readonly string[];
  /** What diffusers drew: final latents, [images, 4, height / 8, width / 8], or what the case compares in their place. */
  expected(name: string): Tensor;
  /** The pipeline that a case wants. */
  open(name: string, setup: Setup): Promise<DiffusionPipeline>;
  /** Draws a case with a pipeline that was opened for it, or for another case of the same model. */
  draw(pipe: DiffusionPipeline, name: string): Promise<Tensor>;
}

/** diffusers' class of a scheduler, and what it has beside the model's own configuration. */
export const schedulerSchema = v.optional(
  v.object({ class: v.string(), options: v.record(v.string(), v.unknown()) }),
);

const own = new WeakMap<DiffusionPipeline, DiffusionPipeline['scheduler']>();

/** Gives a pipeline a case's scheduler, or its own again. */
export function setScheduler(pipe: DiffusionPipeline, wanted: v.InferOutput<typeof schedulerSchema>): void {
  const first = own.get(pipe) ?? pipe.scheduler;
  own.set(pipe, first);
  const chosen = Object.values(SCHEDULERS).find(({ className }) => className === wanted?.class);
  pipe.scheduler = chosen ? chosen.fromConfig({ ...first.config, ...wanted?.options }) : first;
}

/** diffusers' keyword arguments as options of a call. */
export function camelCased(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [camelCase(name), value]));
}

/** What a call draws: its latents, or the bytes of its picture where masks are padded, which paste it into another one. */
export async function drawTensor(pipe: DiffusionPipeline, options: CallOptions): Promise<Tensor> {
  if (options.paddingMaskCrop === undefined)
    return (await pipe({ ...options, outputType: 'latent' })).latents!;
  const [{ width, height, data }] = (await pipe(options)).images;
  return { shape: [height, width, 3], data: Float32Array.from(data.filter((_, i) => i % 4 !== 3)) };
}
