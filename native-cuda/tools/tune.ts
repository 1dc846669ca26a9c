/**
 * @file Writes src/kernels/measured-tiles.ts: on a card, times every tile for every matrix product and convolution of models.
 *
 *     node native-cuda/tools/dist/tune.js MODEL-FOLDER[:IMAGES] ... > native-cuda/src/kernels/measured-tiles.ts
 *
 * Tiles take turns, so that each finds the instruction cache full of others' code, as in a step: a tile that is fast when it
 * is repeated need not be there. Weights rotate and come from memory, as they do there; activations stay in the cache.
 */

import { benchmarkModel, openModel } from 'calotype';
import type { Backend, Plan } from 'calotype/backend-kit';
import { cuda } from '../src/cuda.ts';
import type { OpenDevice, Range } from '../src/device.ts';
import type { BoundLaunch, CudaLaunch, Operand } from '../src/launch.ts';
import { operandPlace, planLaunches } from '../src/launches.ts';
import { partialBytes, TILES, type MatrixSizes, type TileChoice } from '../src/kernels/tiles.ts';
import { CudaWeights } from '../src/weights.ts';

/** How often each tile has its turn; what weights should take in all to come from memory, and their most copies. */
const ROUNDS = 9;
const WEIGHT_BYTES = 60e6;
const MOST_COPIES = 16;

const PARTS = [1, 2, 3, 4, 5, 6, 8, 11, 16];

/** Bytes of a range's random content, which is repeated. */
const PATTERN_BYTES = 2 ** 23;
const MOST_RANDOM_BYTES = 2 ** 26;

/** A launch and the device that it is for. */
interface Problem {
  readonly launch: CudaLaunch;
  /** Arguments that point to something; all others are null. */
  readonly present: ReadonlySet<string>;
  readonly sizes: MatrixSizes;
  readonly device: OpenDevice;
}

function numberOf({ args }: CudaLaunch, name: string): number {
  const value = args[name];
  return typeof value === 'number' ? value : 0;
}

/** The sizes by which src/kernels/tiles.ts knows a launch; undefined for other kernels, and operands of eight bits. */
function sizesOf(launch: CudaLaunch): MatrixSizes | undefined {
  const number = (name: string): number => numberOf(launch, name);
  if (launch.type.name === 'gemm' && number('operands') === 0)
    return { m: number('m'), n: number('n'), depth: number('k'), taps: 1, phases: 1 };
  if (launch.type.name !== 'conv') return undefined;
  const upsample = number('upsample') === 1;
  const side = (size: number, before: number, after: number, kernel: number): number =>
    upsample ? size : Math.floor((size + before + after - kernel) / number('stride')) + 1;
  const height = side(number('height'), number('padTop'), number('padBottom'), number('kernelHeight'));
  const width = side(number('width'), number('padLeft'), number('padRight'), number('kernelWidth'));
  const taps = upsample ? 4 : number('kernelHeight') * number('kernelWidth');
  return {
    m: number('batch') * height * width,
    n: number('outChannels'),
    depth: taps * (number('channels') + number('channels2')),
    taps,
    phases: upsample ? 4 : 1,
  };
}

/** The arguments of a launch that are neither null nor an input that its node does not have. */
function presentArguments({ args }: CudaLaunch, plan: Plan, dispatch: number): Set<string> {
  const names = Object.entries(args).flatMap(([name, value]) => {
    const operand = typeof value === 'object' && 'operand' in value ? value.operand : value;
    if (typeof operand !== 'string' || operand === 'none') return [];
    return operandPlace(plan, plan.dispatches[dispatch], operand) ? [name] : [];
  });
  return new Set(names);
}

/** Every product of the plans that `run` compiles, once each. */
async function problemsOf(
  backend: Backend,
  run: (recording: Backend) => Promise<unknown>,
): Promise<Map<string, Problem>> {
  const problems = new Map<string, Problem>();
  const add = (plan: Plan, device: OpenDevice): void => {
    for (const { launch, dispatch } of planLaunches(plan, device.info)) {
      const sizes = sizesOf(launch);
      if (!sizes) continue;
      const present = presentArguments(launch, plan, dispatch);
      const key = Object.values(sizes).join();
      // Of products that differ in what they add, the one that adds most.
      if (present.size > (problems.get(key)?.present.size ?? 0))
        problems.set(key, { launch, present, sizes, device });
    }
  };
  await run({
    ...backend,
    compile(plan, options) {
      if (options.weights instanceof CudaWeights) add(plan, options.weights.device);
      return backend.compile(plan, options);
    },
  });
  return problems;
}

/** Numbers around zero in f16 and in bf16: random bits below an exponent that is neither large nor tiny. */
function randomPattern(): Uint16Array {
  const pattern = new Uint16Array(PATTERN_BYTES / 2);
  for (let i = 0; i < pattern.length; i++)
    pattern[i] = Math.random() * 0x400 + (Math.random() < 0.5 ? 0 : 0x8000) + 0x2800 + 0x400 * (i % 3);
  return pattern;
}

function fillRandom(device: OpenDevice, range: Range, pattern: Uint16Array): void {
  const { address } = range;
  device.fill(range, pattern[0] >> 8);
  const bytes = Math.min(range.bytes, MOST_RANDOM_BYTES);
  for (let at = 0; at < bytes; at += PATTERN_BYTES) {
    const part = pattern.subarray(0, Math.floor(Math.min(PATTERN_BYTES, bytes - at) / 2));
    device.write(address + BigInt(at), part, 'random numbers');
  }
}

/** Operands of a product, with several weights one after the other. */
function allocateOperands(
  { device, sizes, launch, present }: Problem,
  choices: readonly TileChoice[],
  pattern: Uint16Array,
) {
  const { m, n, depth, taps, phases } = sizes;
  const pixels = Math.max(
    m,
    numberOf(launch, 'batch') * numberOf(launch, 'height') * numberOf(launch, 'width'),
  );
  const weightBytes = 2 * n * depth * phases;
  const copies = Math.max(1, Math.min(MOST_COPIES, Math.ceil(WEIGHT_BYTES / weightBytes)));
  const outBytes = 2 * m * n * phases + 4096;
  const bytes: Readonly<Record<string, number>> = {
    x: (2 * pixels * depth) / taps,
    x2: (2 * pixels * depth) / taps,
    weight: weightBytes * copies,
    bias: 2 * n,
    rows: 64 * n,
    rowIndex: 4096,
    residual: outBytes,
    out: outBytes,
    partials: Math.max(4, ...choices.flatMap((choice) => partialBytes(sizes, choice))),
    counters: 2 ** 13,
  };
  const used = Object.entries(bytes).filter(
    ([name]) => name === 'partials' || name === 'counters' || present.has(name),
  );
  const ranges = new Map(used.map(([name, size]) => [name, device.allocate(size, name)]));
  for (const [name, range] of ranges)
    if (name === 'rowIndex' || name === 'counters') device.fill(range, 0);
    else if (name !== 'partials' && name !== 'out') fillRandom(device, range, pattern);
  return { ranges, weightBytes, copies };
}

/** A launch with a tile; the i-th has the weights that come after those of the one before. */
function launchWith(
  { launch, sizes }: Problem,
  { ranges, weightBytes, copies }: ReturnType<typeof allocateOperands>,
  tile: TileChoice,
  i: number,
): BoundLaunch {
  const pointers = Object.entries(launch.type.fields).flatMap(([name, type]): [string, Operand][] =>
    type === 'pointer' ? [[name, ranges.has(name) ? name : 'none']] : [],
  );
  const weight = { operand: 'weight', offsetBytes: (i % copies) * weightBytes };
  const [bytes = 0] = partialBytes(sizes, tile);
  const args = { ...launch.args, ...Object.fromEntries(pointers), weight, partialBytes: bytes, ...tile };
  return {
    launch: { type: launch.type, args },
    node: 'tuning',
    addressOf: (operand) => ranges.get(operand)?.address ?? 0n,
    constant: () => 0n,
  };
}

/** Whether the native half does a launch: it refuses tiles that cannot do a problem. */
function isAccepted({ device }: Problem, launch: BoundLaunch): boolean {
  try {
    device.forget(device.record(device.encode([launch]), 'a tile'));
    return true;
  } catch {
    return false;
  }
}

/** Tiles that can do a product, with microseconds, the fastest first. */
async function tune(problem: Problem, pattern: Uint16Array) {
  const { device, sizes } = problem;
  const { m, n, phases } = sizes;
  // Never the same tile twice in a row: its code would still be there.
  const choices = PARTS.flatMap((parts) =>
    TILES.flatMap((tile, config) => {
      const tiles = Math.ceil(m / tile.rows) * Math.ceil(n / tile.columns) * phases;
      const blocks = device.info.multiprocessors * tile.resident;
      return parts === 1 || (tile.isShared && tiles * parts <= 1.1 * blocks) ? [{ config, parts }] : [];
    }),
  );
  const operands = allocateOperands(problem, choices, pattern);
  const accepted = choices.filter((tile) => isAccepted(problem, launchWith(problem, operands, tile, 0)));
  const count = accepted.length;
  const launches = Array.from({ length: ROUNDS * count }, (_, i) =>
    launchWith(problem, operands, accepted[i % count], i),
  );
  const times = count === 0 ? [] : await device.time(device.encode(launches), 'tiles');
  for (const range of operands.ranges.values()) device.release(range);
  return accepted
    .map((tile, place) => ({
      tile,
      time: 1000 * median([...times].filter((_time, i) => i % count === place)),
    }))
    .sort((a, b) => a.time - b.time);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

const opened = await cuda({ autotune: false }).open();
if ('reason' in opened) throw new Error(opened.reason);
const pattern = randomPattern();
const lines = new Map<string, string>();
for (const argument of process.argv.slice(2)) {
  const [folder, images = '1'] = argument.split(':');
  const source = await openModel(folder, {});
  for (const network of ['unet', 'vae'] as const) {
    if (!(await source.exists(`${network}/config.json`))) continue;
    const timing = { network, batch: Number(images), dtype: 'f16' as const, steps: 1 };
    const problems = await problemsOf(opened, (recording) => benchmarkModel(source, recording, timing));
    for (const [key, problem] of problems) {
      if (lines.has(key)) continue;
      const ranked = await tune(problem, pattern);
      if (ranked.length === 0) {
        process.stderr.write(`${network} ${key}: the card refuses every tile\n`);
        continue;
      }
      const [{ tile, time }] = ranked;
      const { m, n, depth, taps, phases } = problem.sizes;
      const entry = [m, n, depth, taps, phases, tile.config, tile.parts].join(', ');
      lines.set(key, `  [${entry}], // ${time.toFixed(1)}`);
      const others = ranked
        .slice(0, 5)
        .map((one) => `${one.tile.config}/${one.tile.parts}: ${one.time.toFixed(1)}`);
      process.stderr.write(`${network} ${key}: ${others.join(', ')}\n`);
    }
  }
}
process.stdout.write(`/**
 * @file Written by tools/tune.ts: the fastest tile for the products of models, decoders included, with microseconds, on
 * ${opened.description}.
 */

/** m, n, depth, taps, phases; tile, parts. */
export const MEASURED_TILES: readonly (readonly [number, number, number, number, number, number, number])[] = [
${[...lines.values()].join('\n')}
];
`);
opened.dispose();
