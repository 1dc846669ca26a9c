/**
 * @file `npm run bench -- picture`: whole pictures of a model on GPUs' backends, the first and later ones, beside diffusers. On
 * WebGPU the first is drawn twice: by a driver that has never compiled the kernels, and by one that keeps them.
 */
import { existsSync, writeFileSync } from 'node:fs';
import * as v from 'valibot';
import { decimal, table } from '../cli/src/table.ts';
import { benchModel, BENCH_MODELS } from './models.ts';
import {
  bench,
  findPython,
  inFolder,
  lastLine,
  nvidiaCard,
  readOwnOptions,
  print,
  run,
  watchingMemory,
} from './processes.ts';

const Figures = v.looseObject({ cold: v.number(), warm: v.number(), step: v.number() });
const TorchFigures = v.looseObject({ torch: v.string(), cold_s: v.number(), warm_s: v.number() });

/** A line of the comparison. */
interface Row {
  readonly name: string;
  readonly cold: number;
  readonly warm: number;
  /** Of the card's memory. */
  readonly bytes: number | undefined;
  readonly figures: object;
}

const OWN_OPTIONS = {
  model: { type: 'string', default: 'models/emoji-starter' },
  backend: { type: 'string', default: 'webgpu' },
  peers: { type: 'string' },
  json: { type: 'string' },
} as const;

/** Where NVIDIA's driver keeps what it compiled. */
const SHADER_CACHE = '__GL_SHADER_DISK_CACHE_PATH';

/** The folder of a model: one that is named, or that of random weights, which is made if need be. */
function modelFolder(name: string, python: string | undefined): string {
  if (!(name in BENCH_MODELS)) return name;
  const folder = `bench/.models/${name}`;
  if (existsSync(`${folder}/calotype.json`)) return folder;
  if (python === undefined)
    throw new Error(`random weights of ${name} are made by torch, which is not there`);
  const { folder: configs, picture } = benchModel(name);
  if (picture === undefined) throw new Error(`${name} has no picture to time: name a folder`);
  const [steps, guidance] = [`${picture.steps}`, `${picture.guidance}`];
  run(python, ['bench/make-model.py', configs, folder, '--steps', steps, '--guidance', guidance]);
  return folder;
}

/** Each in a process of its own; other options go to `calotype bench picture`. */
export function benchPictures(args: readonly string[]): void {
  const { values, rest } = readOwnOptions(args, OWN_OPTIONS);
  const python = nvidiaCard() === undefined ? undefined : findPython();
  const model = modelFolder(String(values.model), python);
  const rows: Row[] = [];
  const draw = (backend: string, driver?: string): void => {
    const options = ['--model', model, '--backend', backend, ...rest];
    const { result, bytes } = watchingMemory(() => bench(Figures, ['picture', ...options]));
    const name = [backend, ...(driver === undefined ? [] : [driver])].join(', ');
    print(`${name}: ${result.text}\n`);
    const { cold, warm } = result.figures;
    rows.push({ name: `calotype, ${name}`, cold, warm, bytes, figures: result.figures });
  };
  for (const backend of String(values.backend).split(','))
    if (backend === 'webgpu')
      inFolder((cache) => {
        process.env[SHADER_CACHE] = cache;
        draw(backend, 'new driver');
        draw(backend, 'kernels kept by the driver');
      });
    else draw(backend);
  if (python === undefined || values.peers === 'none')
    print('torch is not compared: not asked for, or not there');
  else {
    const torch = [
      'bench/torch-picture.py',
      model,
      'a red apple, 3D',
      '--device',
      'cuda',
      '--dtype',
      'float16',
    ];
    const { result, bytes } = watchingMemory(() => run(python, torch).stdout);
    const figures = v.parse(TorchFigures, lastLine(result));
    rows.push({ name: `torch ${figures.torch}`, cold: figures.cold_s, warm: figures.warm_s, bytes, figures });
  }
  print(
    table([
      ['', 'first picture, s', 'later ones, s', "of the card's memory"],
      ...rows.map((row) => [
        row.name,
        row.cold.toFixed(2),
        row.warm.toFixed(2),
        row.bytes === undefined ? '' : `${decimal(row.bytes)}B`,
      ]),
    ]),
  );
  if (values.json !== undefined)
    writeFileSync(String(values.json), `${JSON.stringify({ model, card: nvidiaCard(), rows }, null, 1)}\n`);
}
