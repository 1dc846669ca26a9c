/**
 * @file Layers of LoRA files from their tensors: shapes are checked against the weight before anything is read.
 *
 * Formulas are those of kohya's trainer and of LyCORIS (lycoris/functional): LoRA and LoCon, with a core between the
 * factors where convolutions are decomposed as Tucker has it; LoHa; LoKr.
 */
import { FileFormatError } from '../../errors.ts';
import { decodeToF32 } from '../../tensor/decode.ts';
import type { SafetensorsFile } from '../safetensors.ts';
import {
  DenseLayer,
  LowRankLayer,
  MagnitudeLayer,
  product,
  type AdapterLayer,
  type Factors,
} from './adapter-layer.ts';
import type { LayerPart } from './layer-parts.ts';

/** A layer as a file has it. */
export interface StoredLayer {
  /** The weight's stored shape. */
  readonly shape: readonly number[];
  /** Names of its tensors. */
  readonly parts: ReadonlyMap<LayerPart, string>;
}

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A shape without the ones at its end. */
function withoutOnes(shape: readonly number[]): readonly number[] {
  return shape.slice(0, shape.findLastIndex((size) => size !== 1) + 1);
}

/** Kinds of layers, by a part that only they have, and the first tensor that tells their rank: [name, axis]. */
const KINDS = [
  { name: 'LoRA', mark: /^(down|up|mid)$/, ranks: [['down', 0]] },
  { name: 'LoHa', mark: /^hada_/, ranks: [['hada_w1_b', 0]] },
  {
    name: 'LoKr',
    mark: /^lokr_/,
    ranks: [
      ['lokr_w2_b', 0],
      ['lokr_w1_b', 0],
    ],
  },
] as const;

/** Reads the tensors of one layer. */
class LayerReader {
  readonly #file: SafetensorsFile;
  readonly #layer: StoredLayer;
  readonly #signal: AbortSignal | undefined;

  constructor(file: SafetensorsFile, layer: StoredLayer, signal: AbortSignal | undefined) {
    this.#file = file;
    this.#layer = layer;
    this.#signal = signal;
  }

  get rows(): number {
    return this.#layer.shape[0];
  }

  /** Channels of the weight's input. */
  get inputs(): number {
    return this.#layer.shape[1];
  }

  /** Height and width of the weight's filter; empty for linear layers and convolutions of one pixel. */
  get filter(): readonly number[] {
    const filter = this.#layer.shape.slice(2);
    return count(filter) === 1 ? [] : filter;
  }

  get columns(): number {
    return count(this.#layer.shape.slice(1));
  }

  has(part: LayerPart): boolean {
    return this.#layer.parts.has(part);
  }

  /** Shape of a part that must be there. */
  shape(part: LayerPart): readonly number[] {
    return this.#file.info(this.#name(part)).shape;
  }

  /**
   * A part, which must have this shape; filters of one pixel may be left out or written.
   * @throws FileFormatError naming the tensor
   */
  async read(part: LayerPart, expected: readonly number[]): Promise<Float32Array> {
    const name = this.#name(part);
    const { shape, dtype } = this.#file.info(name);
    if (withoutOnes(shape).join() !== withoutOnes(expected).join())
      throw this.#refuse(
        name,
        `has the shape [${shape.join(', ')}], but the weight of [${this.#layer.shape.join(', ')}] needs [${expected.join(', ')}]`,
      );
    return decodeToF32(await this.#file.read(name, this.#signal), dtype);
  }

  /** Throws FileFormatError for a tensor of the layer. */
  fail(part: LayerPart, problem: string): never {
    throw this.#refuse(this.#name(part), problem);
  }

  #name(part: LayerPart): string {
    const name = this.#layer.parts.get(part);
    if (name !== undefined) return name;
    const there = [...this.#layer.parts.values()];
    throw new FileFormatError(`has no ${part} to go with it`, {
      file: this.#file.name,
      field: there[0],
      remedy: 'The file is incomplete; get it again',
    });
  }

  #refuse(name: string, problem: string): FileFormatError {
    return new FileFormatError(problem, {
      file: this.#file.name,
      field: name,
      remedy: 'Use a LoRA that was made for this model, or the model that this LoRA was made for',
    });
  }
}

/**
 * The rank of a layer; undefined where it has none (LoKr of two whole factors).
 * @throws FileFormatError for tensors of no kind, or of two
 */
export function rankOf(file: SafetensorsFile, layer: StoredLayer): number | undefined {
  const reader = new LayerReader(file, layer, undefined);
  for (const [part, axis] of kindOf(file, layer).ranks) if (reader.has(part)) return reader.shape(part)[axis];
  return undefined;
}

/** The alpha that a layer has of its own. */
export async function alphaOf(
  file: SafetensorsFile,
  layer: StoredLayer,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const reader = new LayerReader(file, layer, signal);
  return reader.has('alpha') ? (await reader.read('alpha', []))[0] : undefined;
}

/** Reads a layer. Throws FileFormatError for a tensor that is missing or does not fit the weight. */
export async function readLayer(
  file: SafetensorsFile,
  layer: StoredLayer,
  scale: number,
  signal?: AbortSignal,
): Promise<AdapterLayer> {
  const reader = new LayerReader(file, layer, signal);
  const kind = kindOf(file, layer).name;
  const read: AdapterLayer =
    kind === 'LoRA'
      ? new LowRankLayer(await readLowRank(reader), scale)
      : kind === 'LoHa'
        ? await readHadamard(reader, scale)
        : await readKronecker(reader, scale);
  return reader.has('magnitude') ? new MagnitudeLayer(read, await readMagnitude(reader)) : read;
}

function kindOf(file: SafetensorsFile, { parts }: StoredLayer): (typeof KINDS)[number] {
  const kinds = KINDS.filter(({ mark }) => [...parts.keys()].some((part) => mark.test(part)));
  if (kinds.length === 1) return kinds[0];
  const [name] = parts.values();
  throw new FileFormatError(
    kinds.length === 0
      ? 'belongs to no factors'
      : `belongs to a layer that is ${kinds.map((kind) => kind.name).join(' and ')} at once`,
    { file: file.name, field: name, remedy: 'The file is incomplete or damaged; get it again' },
  );
}

async function readLowRank(reader: LayerReader): Promise<Factors> {
  const { rows, inputs, filter } = reader;
  const [rank] = reader.shape('down');
  if (!(rank > 0)) reader.fail('down', 'has no rows');
  const up = await reader.read('up', [rows, rank]);
  if (!reader.has('mid')) return { rank, up, down: await reader.read('down', [rank, inputs, ...filter]) };
  const core = await reader.read('mid', [rank, rank, ...filter]);
  return { rank, up, down: absorbCore(core, await reader.read('down', [rank, inputs]), rank) };
}

/** The core t [i, j, k] of a Tucker decomposition taken into its second factor [j, r]: [i, (r, k)]. */
function absorbCore(core: Float32Array, factor: Float32Array, rank: number): Float32Array {
  const taps = core.length / rank ** 2;
  const inputs = factor.length / rank;
  const result = new Float32Array(rank * inputs * taps);
  for (let i = 0; i < rank; i++)
    for (let r = 0; r < inputs; r++)
      for (let tap = 0; tap < taps; tap++) {
        let sum = 0;
        for (let j = 0; j < rank; j++) sum += core[(i * rank + j) * taps + tap] * factor[j * inputs + r];
        result[(i * inputs + r) * taps + tap] = sum;
      }
  return result;
}

/** Rows and columns of a matrix exchanged. */
function transpose(matrix: Float32Array, rows: number): Float32Array {
  const columns = matrix.length / rows;
  return matrix.map((_value, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]);
}

/** LoHa (Hyeon-Woo et al. 2021): the elementwise product of two products. */
async function readHadamard(reader: LayerReader, scale: number): Promise<AdapterLayer> {
  const half = async (n: 1 | 2): Promise<Factors> => {
    const { rows, inputs, filter, columns } = reader;
    const [rank] = reader.shape(`hada_w${n}_b`);
    if (!(rank > 0)) reader.fail(`hada_w${n}_b`, 'has no rows');
    if (!reader.has(`hada_t${n}`))
      return {
        rank,
        up: await reader.read(`hada_w${n}_a`, [rows, rank]),
        down: await reader.read(`hada_w${n}_b`, [rank, columns]),
      };
    const core = await reader.read(`hada_t${n}`, [rank, rank, ...filter]);
    const down = absorbCore(core, await reader.read(`hada_w${n}_b`, [rank, inputs]), rank);
    return { rank, up: transpose(await reader.read(`hada_w${n}_a`, [rank, rows]), rank), down };
  };
  const [first, second] = [await half(1), await half(2)];
  return new DenseLayer(() => {
    const other = product(second);
    return product(first).map((value, i) => value * other[i]);
  }, scale);
}

/** LoKr (Yeh et al. 2023): the Kronecker product of two matrices, each whole or a product itself. */
async function readKronecker(reader: LayerReader, scale: number): Promise<AdapterLayer> {
  const { rows, inputs, filter } = reader;
  const [outer, inner] = reader.has('lokr_w1')
    ? reader.shape('lokr_w1')
    : [reader.shape('lokr_w1_a')[0], reader.shape('lokr_w1_b')[1]];
  const shown = reader.has('lokr_w1') ? 'lokr_w1' : 'lokr_w1_a';
  if (!(outer > 0 && inner > 0 && rows % outer === 0 && inputs % inner === 0))
    reader.fail(shown, `is ${outer} x ${inner}, which does not divide the weight's ${rows} x ${inputs}`);
  const [height, width] = [rows / outer, inputs / inner];

  const first = reader.has('lokr_w1')
    ? await reader.read('lokr_w1', [outer, inner])
    : product(await factorsOf('lokr_w1_a', 'lokr_w1_b', outer, [inner]));
  const second = reader.has('lokr_w2')
    ? await reader.read('lokr_w2', [height, width, ...filter])
    : product(await factorsOf('lokr_w2_a', 'lokr_w2_b', height, [width, ...filter]));
  return new DenseLayer(() => kronecker(first, second, [outer, inner], height), scale);

  async function factorsOf(
    a: 'lokr_w1_a' | 'lokr_w2_a',
    b: 'lokr_w1_b' | 'lokr_w2_b',
    height: number,
    [width, ...filter]: readonly number[],
  ): Promise<Factors> {
    const [rank] = reader.shape(b);
    if (!(rank > 0)) reader.fail(b, 'has no rows');
    if (b === 'lokr_w1_b' || !reader.has('lokr_t2'))
      return {
        rank,
        up: await reader.read(a, [height, rank]),
        down: await reader.read(b, [rank, width * count(filter)]),
      };
    const core = await reader.read('lokr_t2', [rank, rank, ...filter]);
    const down = absorbCore(core, await reader.read(b, [rank, width]), rank);
    return { rank, up: transpose(await reader.read(a, [rank, height]), rank), down };
  }
}

/** The Kronecker product of [a, b] and [height, columns]. */
function kronecker(
  first: Float32Array,
  second: Float32Array,
  [outer, inner]: readonly [number, number],
  height: number,
): Float32Array {
  const columns = second.length / height;
  const result = new Float32Array(first.length * second.length);
  for (let a = 0; a < outer; a++)
    for (let b = 0; b < inner; b++) {
      const factor = first[a * inner + b];
      for (let row = 0; row < height; row++) {
        const target = ((a * height + row) * inner + b) * columns;
        for (let c = 0; c < columns; c++) result[target + c] = factor * second[row * columns + c];
      }
    }
  return result;
}

/**
 * DoRA's magnitudes, one a row: [rows], [rows, 1, ...] or PEFT's [1, rows, 1, 1]. LyCORIS could also keep one an
 * input channel, which PEFT has no formula for.
 */
async function readMagnitude(reader: LayerReader): Promise<Float32Array> {
  const { rows } = reader;
  const shape = reader.shape('magnitude');
  const ofPeft = shape.length === 4 && shape[0] === 1;
  return reader.read('magnitude', ofPeft ? [1, rows] : [rows]);
}
