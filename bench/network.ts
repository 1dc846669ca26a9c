/** @file `npm run bench -- unet|vae`: calotype on WebGPU in its three settings, and its peers on the same card. */
import { existsSync, writeFileSync } from 'node:fs';
import * as v from 'valibot';
import { decimal, table } from '../cli/src/table.ts';
import { benchModel, networkOptions } from './models.ts';
import {
  bench,
  CALOTYPE,
  can,
  findPython,
  lastLine,
  nvidiaCard,
  readOwnOptions,
  print,
  run,
  watchingMemory,
} from './processes.ts';

const SETTINGS = ['native', 'flags', 'page'];

const Figures = v.looseObject({
  throughputMs: v.number(),
  flops: v.number(),
  compileSeconds: v.number(),
  memoryBytes: v.number(),
});
const PeerFigures = v.looseObject({
  peer: v.string(),
  ms: v.number(),
  first_s: v.number(),
  peak_bytes: v.optional(v.number()),
});

/** A line of the comparison. */
interface Row {
  readonly name: string;
  readonly ms: number;
  readonly first: number;
  readonly ownBytes: number | undefined;
  readonly cardBytes: number | undefined;
  readonly figures: object;
}

const OWN_OPTIONS = {
  model: { type: 'string', default: 'sd15' },
  setting: { type: 'string' },
  backend: { type: 'string', default: 'webgpu' },
  batch: { type: 'string', default: '1' },
  peers: { type: 'string', default: 'eager,graph' },
  compile: { type: 'boolean', default: false },
  json: { type: 'string' },
  svg: { type: 'string' },
  controlnet: { type: 'string' },
} as const;

/** Times one network; options that are not its own go to `calotype bench`. */
export function benchNetwork(network: 'unet' | 'vae', args: readonly string[]): void {
  const { values, rest } = readOwnOptions(args, OWN_OPTIONS);
  const { folder, size } = networkOptions(network, benchModel(String(values.model)));
  const net = typeof values.controlnet === 'string' ? ['--controlnet', values.controlnet] : [];
  const sized = ['--size', size, ...net];
  const backends = String(values.backend).split(',');
  const batches = String(values.batch).split(',');
  const peers = String(values.peers)
    .split(',')
    .filter((peer) => peer !== 'none');

  const runs = backends.flatMap((backend) =>
    settingsOf(backend, values.setting).flatMap((setting) =>
      batches.map((batch) => ({ backend, setting, batch })),
    ),
  );
  const rows: Row[] = runs.map(({ backend, setting, batch }, index) => {
    const svg = values.svg === undefined ? [] : ['--svg', nameFor(String(values.svg), index)];
    const how = ['--backend', backend, '--setting', setting, '--batch', batch];
    const options = ['--model', folder, ...sized, ...how, ...svg, ...rest];
    const { result, bytes } = watchingMemory(() => bench(Figures, [network, ...options]));
    print(`${result.text}\n`);
    const { throughputMs, compileSeconds, memoryBytes } = result.figures;
    const times = { ms: throughputMs, first: compileSeconds, ownBytes: memoryBytes, cardBytes: bytes };
    const name = [
      backend,
      ...(backend === 'webgpu' ? [setting] : []),
      ...(batch === '1' ? [] : [`${batch} at once`]),
    ];
    return { name: `calotype, ${name.join(', ')}`, ...times, figures: result.figures };
  });
  const modes = [...peers, ...(values.compile === true ? ['compile'] : [])];
  if (modes.length > 0) rows.push(...torchRows(network, folder, sized, modes));
  if (network === 'unet' && net.length === 0 && peers.length > 0) rows.push(...ortRows(String(values.model)));
  print(formatRows(rows));
  if (values.json !== undefined) {
    const data = { network, model: values.model, card: nvidiaCard(), date: new Date().toISOString(), rows };
    writeFileSync(String(values.json), `${JSON.stringify(data, null, 1)}\n`);
  }
}

/** What each optimisation gains. */
export function benchLadder(args: readonly string[]): void {
  const at = args.indexOf('--model');
  const { folder } = benchModel(at < 0 ? 'sd15' : args[at + 1]);
  const rest = at < 0 ? args : [...args.slice(0, at), ...args.slice(at + 2)];
  print(run(process.execPath, [CALOTYPE, 'bench', 'ladder', '--model', folder, ...rest]).stdout);
}

/** Settings are WebGPU's; other backends run once. */
function settingsOf(backend: string, given: unknown): readonly string[] {
  if (backend !== 'webgpu') return ['native'];
  return typeof given === 'string' ? given.split(',') : SETTINGS;
}

/** A file of its own for each run after the first: `step.svg` becomes `step-2.svg`. */
function nameFor(file: string, index: number): string {
  return index === 0 ? file : file.replace(/(\.\w+)?$/, `-${index + 1}$1`);
}

/** torch on the same card, each way in a process of its own, so that each has its own memory. */
function torchRows(
  network: string,
  folder: string,
  options: readonly string[],
  modes: readonly string[],
): Row[] {
  if (nvidiaCard() === undefined) return missing('torch', 'nvidia-smi finds no CUDA card');
  const python = findPython();
  if (python === undefined) return [];
  if (!can(python, 'import torch; assert torch.cuda.is_available()'))
    return missing('torch', 'it sees no CUDA card');
  return modes.flatMap((mode) =>
    peerRow('torch', python, ['bench/torch-step.py', network, folder, mode, ...options]),
  );
}

/** ONNX Runtime's WebGPU provider, where its wheel and an exported model are there. */
function ortRows(model: string): Row[] {
  const python = process.env['PYTHON'] ?? 'python3';
  const folder = `bench/.onnx/${model}`;
  const name = 'onnxruntime-webgpu';
  if (
    !can(python, "import onnxruntime as o; assert 'WebGpuExecutionProvider' in o.get_available_providers()")
  )
    return missing(name, `pip install ${name}`);
  if (!existsSync(`${folder}/unet.onnx`))
    return missing(name, `there is no ${folder}/unet.onnx; bench/export-onnx.py makes it`);
  return peerRow(name, python, ['bench/ort-webgpu.py', folder]);
}

function peerRow(name: string, python: string, args: readonly string[]): Row[] {
  try {
    const { result, bytes } = watchingMemory(() => run(python, args).stdout);
    const figures = v.parse(PeerFigures, lastLine(result));
    const { peer, ms, first_s: first, peak_bytes: ownBytes } = figures;
    return [{ name: peer, ms, first, ownBytes, cardBytes: bytes, figures }];
  } catch (error) {
    return missing(name, error instanceof Error ? error.message : String(error));
  }
}

function missing(peer: string, why: string): Row[] {
  print(`${peer} is not compared: ${why}`);
  return [];
}

function formatRows(rows: readonly Row[]): string {
  const bytes = (count: number | undefined): string => (count === undefined ? '' : `${decimal(count)}B`);
  return table([
    ['', 'ms', 'a second', 'ready in s', 'own memory', "of the card's"],
    ...rows.map(({ name, ms, first, ownBytes, cardBytes }) => [
      name,
      ms.toFixed(2),
      (1000 / ms).toFixed(1),
      first.toFixed(1),
      bytes(ownBytes),
      bytes(cardBytes),
    ]),
  ]);
}
