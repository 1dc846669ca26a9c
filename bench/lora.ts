/**
 * @file `npm run bench -- lora --model FOLDER`: how long it takes to switch LoRA adapters whose base is on the device, and what was
 * compiled and recorded meanwhile. bench/make-model.py makes folders; the adapters are made here, over all attentions.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DiffusionPipeline, type Backend, type BackendFactory } from 'calotype';
import * as v from 'valibot';
import { backendsOf, prepareBackend, readBackend } from '../cli/src/backends.ts';
import { median, table } from '../cli/src/table.ts';
import { whileInFolder, megabytes, nvidiaCard, print } from './processes.ts';

/** Layers that adapters are made for, in UNets and in PixArt's transformer. */
const ATTENTION = /\.attn\d\.(to_q|to_k|to_v|to_out\.0)\.weight$/;

/** What was made so far, by whoever made it. */
interface Counts {
  /** Programs: plans that were compiled and recorded. */
  programs: number;
  /** Compute pipelines that WebGPU was asked to compile. */
  pipelines: number;
}

/** Times switching in the models that are named; `--ranks` of the two adapters. */
export async function benchLora(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string' },
      ranks: { type: 'string', default: '16,64' },
      repeats: { type: 'string', default: '5' },
      backend: { type: 'string', default: 'webgpu' },
      adapter: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const choice = readBackend(values);
  await prepareBackend(choice);
  const ranks = values.ranks.split(',').map(Number);
  if (values.model === undefined || ranks.length !== 2)
    throw new Error('--model names folders of models, and --ranks two ranks');
  const results: object[] = [];
  for (const model of values.model.split(',')) {
    const figures = await switchAdapters(model, backendsOf(choice), ranks, Number(values.repeats));
    results.push({ model, ...figures });
    const data = { card: nvidiaCard(), date: new Date().toISOString(), results };
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(data, null, 1)}\n`);
  }
}

async function switchAdapters(
  model: string,
  backends: readonly BackendFactory[],
  ranks: readonly number[],
  repeats: number,
): Promise<object> {
  const counts: Counts = { programs: 0, pipelines: 0 };
  await countPipelines(counts);
  let backend: Backend | undefined;
  const counted = backends.map((factory) =>
    counting(factory, counts, (opened) => {
      backend = opened;
    }),
  );
  const pipe = await DiffusionPipeline.fromPretrained(model, { backends: counted });
  const draw = async (): Promise<Float32Array> => {
    const options = { ...pipe.recommended, prompt: 'a red apple, 3D', numInferenceSteps: 1, seed: 7 };
    return (await pipe({ ...options, outputType: 'latent' })).latents?.data ?? new Float32Array();
  };
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const begin = performance.now();
    await work();
    await backend?.idle();
    return performance.now() - begin;
  };
  try {
    const plain = await draw();
    const rows: { name: string; ms: number[]; programs: number; pipelines: number; bytes?: number }[] = [];
    const measure = async (name: string, works: readonly (() => Promise<unknown>)[]): Promise<void> => {
      const before = { ...counts };
      const ms: number[] = [];
      for (const work of works) ms.push(await timed(work));
      const bytes = backend?.memory?.deviceBytes;
      rows.push({
        name,
        ms,
        programs: counts.programs - before.programs,
        pipelines: counts.pipelines - before.pipelines,
        ...(bytes !== undefined && { bytes }),
      });
    };
    const tensors = await whileInFolder(async (folder) => {
      const sizes = ranks.map((rank, i) => writeAdapter(model, rank, join(folder, `${i}.safetensors`)));
      for (const [i, rank] of ranks.entries())
        await measure(`load one of rank ${rank}, ${megabytes(sizes[i].bytes)}`, [
          () => pipe.loadLoraWeights(join(folder, `${i}.safetensors`), { adapterName: `rank${rank}-${i}` }),
        ]);
      return sizes[0].tensors;
    });
    const [first, second] = ranks.map((rank, i) => `rank${rank}-${i}`);
    const again = Array.from({ length: repeats });
    await measure(
      `switch to that of rank ${ranks[0]}`,
      again.map((_, i) => () => pipe.setAdapters(first, 0.5 + 0.1 * i)),
    );
    await measure(
      `switch to that of rank ${ranks[1]}`,
      again.map((_, i) => () => pipe.setAdapters(second, 0.5 + 0.1 * i)),
    );
    await measure(
      'both at once',
      again.map((_, i) => () => pipe.setAdapters([first, second], [0.8, 0.3 + 0.1 * i])),
    );
    const before = { ...counts };
    const adapted = await draw();
    await measure('unload', [() => pipe.unloadLoraWeights()]);
    const after = await draw();
    rows.push({
      name: 'pictures with and without',
      ms: [],
      programs: counts.programs - before.programs,
      pipelines: counts.pipelines - before.pipelines,
    });
    const isBack = after.every((value, i) => Object.is(value, plain[i]));
    const changed = adapted.some((value, i) => value !== plain[i]);
    print(
      `\n${model} on ${pipe.backend.name} (${pipe.backend.description}), ${tensors} tensors by each adapter`,
    );
    print(
      table([
        ['', 'ms (median)', 'at most', 'programs recorded', 'pipelines compiled', 'on the device'],
        ...rows.map(({ name, ms, programs, pipelines, bytes }) => [
          name,
          ms.length === 0 ? '' : median(ms).toFixed(1),
          ms.length === 0 ? '' : Math.max(...ms).toFixed(1),
          String(programs),
          String(pipelines),
          megabytes(bytes),
        ]),
      ]),
    );
    print(`${counts.programs} programs were recorded in all, before the first adapter came.`);
    print(`The picture changed with them: ${changed}; without them it is bit for bit what it was: ${isBack}`);
    return { backend: pipe.backend.description, tensors, rows, changed, isBack };
  } finally {
    await pipe.dispose();
  }
}

/** A factory whose backend counts the programs that are made on it. */
function counting(
  factory: BackendFactory,
  counts: Counts,
  onOpened: (backend: Backend) => void,
): BackendFactory {
  return {
    name: factory.name,
    async open(options) {
      const opened = await factory.open(options);
      if ('reason' in opened) return opened;
      const backend: Backend = {
        ...opened,
        compile(plan, compileOptions) {
          counts.programs++;
          return opened.compile(plan, compileOptions);
        },
      };
      onOpened(backend);
      return backend;
    },
  };
}

/** From now on pipelines count, on any WebGPU device of this process. */
async function countPipelines(counts: Counts): Promise<void> {
  const schema = v.looseObject({
    GPUDevice: v.custom<typeof GPUDevice>((kind) => typeof kind === 'function'),
  });
  const { GPUDevice: Device } = v.parse(schema, (await import('webgpu')).globals);
  const { createComputePipelineAsync } = Device.prototype;
  Device.prototype.createComputePipelineAsync = function (this: GPUDevice, descriptor) {
    counts.pipelines++;
    return createComputePipelineAsync.call(this, descriptor);
  };
}

/** Writes an adapter of small random numbers for all attentions of a folder's denoising network. */
function writeAdapter(
  model: string,
  rank: number,
  file: string,
): { readonly tensors: number; readonly bytes: number } {
  const layers = [...readShapes(join(model, 'unet/diffusion_pytorch_model.safetensors'))].filter(([name]) =>
    ATTENTION.test(name),
  );
  const header: Record<string, object> = {};
  let bytes = 0;
  const add = (name: string, shape: readonly number[]): void => {
    const end = bytes + 2 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F16', shape, data_offsets: [bytes, end] };
    bytes = end;
  };
  for (const [name, [rows, columns]] of layers) {
    const path = `unet.${name.slice(0, -'.weight'.length)}`;
    add(`${path}.lora_A.weight`, [rank, columns]);
    add(`${path}.lora_B.weight`, [rows, rank]);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  // Halves of either sign from 2^-8 to 2^-7.
  const halves = randomFillSync(new Uint16Array(bytes / 2));
  for (let i = 0; i < halves.length; i++) halves[i] = (halves[i] & 0x83ff) | 0x1c00;
  writeFileSync(file, Buffer.concat([length, text, Buffer.from(halves.buffer)]));
  return { tensors: layers.length, bytes };
}

/** The shapes of a safetensors file's tensors. */
function readShapes(file: string): Map<string, readonly number[]> {
  const descriptor = openSync(file, 'r');
  try {
    const length = Buffer.alloc(8);
    readSync(descriptor, length, 0, 8, 0);
    const header = Buffer.alloc(Number(length.readBigUInt64LE()));
    readSync(descriptor, header, 0, header.length, 8);
    const { __metadata__: _metadata, ...tensors } = v.parse(
      v.record(v.string(), v.unknown()),
      JSON.parse(header.toString()),
    );
    const schema = v.record(v.string(), v.looseObject({ shape: v.array(v.number()) }));
    return new Map(Object.entries(v.parse(schema, tensors)).map(([name, { shape }]) => [name, shape]));
  } finally {
    closeSync(descriptor);
  }
}
