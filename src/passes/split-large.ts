/**
 * @file Splits work on values that are larger than one binding may be, exactly, by rows.
 *
 * A dispatch that would bind too large a value becomes several, each on a band of rows: inputs are read through
 * windows (a convolution's with the rows around it that it needs), outputs are parts of the whole. Nothing is
 * blended or approximated. A value over the largest *buffer* never exists as a whole: its parts stay apart, and a
 * window that straddles two of them is copied together.
 */

import { OutOfMemoryError } from '../errors.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { removeUnused, valueOf } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import { inputsOf, type Node, type NodeOf } from '../graph/ops.ts';
import type { Target } from '../plan/target.ts';
import { DEVICE_DTYPE_BYTES } from '../tensor/dtype.ts';
import { concrete } from '../tensor/shape.ts';
import type { Pass } from './pass.ts';

/** Inputs of ops that treat every position alike, which are cut along with the output. */
const ROW_INPUTS = {
  activate: ['x'],
  add: ['a', 'b'],
  addBias: ['x'],
  affine: ['x'],
  geglu: ['x'],
  layerNorm: ['x'],
  linear: ['x', 'residual'],
  multiply: ['a', 'b'],
  rmsNorm: ['x'],
} as const satisfies { readonly [K in Node['kind']]?: readonly string[] };

type RowKind = keyof typeof ROW_INPUTS;

function isRowNode(node: Node): node is Extract<Node, { kind: RowKind }> {
  return Object.hasOwn(ROW_INPUTS, node.kind);
}

/** A piece of a value: elements from `start` on, as a value of its own. */
interface Part {
  readonly start: number;
  readonly length: number;
  readonly value: ValueId;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

class Splitter {
  readonly nodes: Node[] = [];
  readonly values: Map<ValueId, Value>;
  applied = 0;
  readonly refused: Record<string, number> = {};
  readonly #graph: Graph;
  readonly #target: Target;
  /** Values that exist only as parts. */
  readonly #scattered = new Map<ValueId, readonly Part[]>();
  #nextId: number;

  constructor(graph: Graph, target: Target) {
    this.#graph = graph;
    this.#target = target;
    this.values = new Map(graph.values);
    this.#nextId = Math.max(-1, ...this.values.keys()) + 1;
  }

  run(): void {
    for (const node of this.#graph.nodes) {
      const scattered = node.kind === 'reshape' ? this.#scattered.get(node.inputs.x) : undefined;
      if (scattered) this.#scattered.set(node.output, scattered);
      else if (this.#isTooLarge(node)) this.#split(node);
      else this.nodes.push(node);
    }
    for (const { name, value } of this.#graph.outputs)
      if (this.#scattered.has(value)) throw this.#noBuffer(value, name);
  }

  /** The error for a value that is needed as a whole, in a device whose buffers cannot hold it. */
  #noBuffer(value: ValueId, field: string): OutOfMemoryError {
    const { maxBufferBytes } = this.#target;
    return new OutOfMemoryError(
      `needs ${this.#bytes(value)} bytes in one buffer, the device allows ${maxBufferBytes}`,
      { field, remedy: 'Use a smaller size or batch, or a device with larger buffers' },
    );
  }

  #isTooLarge(node: Node): boolean {
    if (node.kind === 'reshape' || node.kind === 'window' || node.kind === 'join') return false;
    return [...inputsOf(node).map(([, id]) => id), node.output].some(
      (id) =>
        this.#scattered.has(id) || (this.#bytes(id) > this.#target.maxBindingBytes && !this.#isWeight(id)),
    );
  }

  #isWeight(id: ValueId): boolean {
    return this.#graph.weights.some((weight) => weight.value === id);
  }

  #split(node: Node): void {
    const before = this.nodes.length;
    if (isRowNode(node)) this.#splitRows(node);
    else if (node.kind === 'conv2d') this.#splitConvolution(node);
    else if (node.kind === 'groupNorm') this.#splitGroupNorm(node);
    else {
      for (const [, id] of inputsOf(node)) if (this.#scattered.has(id)) throw this.#noBuffer(id, node.name);
      this.nodes.push(node);
      const reason = `${node.kind} cannot be split by rows`;
      this.refused[reason] = (this.refused[reason] ?? 0) + 1;
    }
    if (this.nodes.length > before + 1) this.applied++;
  }

  /** Ops that treat every position alike, cut anywhere between positions. */
  #splitRows(node: Extract<Node, { kind: RowKind }>): void {
    const names: readonly string[] = ROW_INPUTS[node.kind];
    const cut = inputsOf(node).filter(([name]) => names.includes(name));
    const outputChannels = this.#shape(node.output).at(-1) ?? 1;
    const rows = product(this.#shape(node.output)) / outputChannels;
    const widths = [...cut.map(([, id]) => id), node.output].map((id) => this.#rowBytes(id));
    const band = this.#bandRows(rows, widths);
    const parts: Part[] = [];
    for (let row = 0; row < rows; row += band) {
      const count = Math.min(band, rows - row);
      const windows = cut.map(([name, id]): [string, ValueId] => {
        const channels = this.#shape(id).at(-1) ?? 1;
        return [name, this.#window(id, row * channels, [count, channels])];
      });
      const output = this.#newValue(node.output, [count, outputChannels]);
      // The same input names with windows in place of values, so the kind's input type still holds.
      this.nodes.push({
        ...node,
        inputs: { ...node.inputs, ...Object.fromEntries(windows) },
        output,
      } as Node);
      parts.push({ start: row * outputChannels, length: count * outputChannels, value: output });
    }
    this.#finish(node.output, parts);
  }

  /** Bands of output rows of each image, with the input rows that they need. */
  #splitConvolution(node: NodeOf<'conv2d'>): void {
    const { x, x2, weight, rows, rowIndex, residual } = node.inputs;
    const { stride, upsample } = node.attrs;
    const [top, left, , right] = node.attrs.padding;
    const [batch, height, width] = this.#shape(x);
    const [, outHeight, outWidth, outChannels] = this.#shape(node.output);
    const kernel = this.#shape(weight)[2];
    const scale = upsample ? 2 : 1;
    const sources = [x, ...(x2 === undefined ? [] : [x2])];
    // A band of n output rows reads at most n * stride / scale + kernel rows of each source.
    const widths = sources.map((id) => (this.#imageRowBytes(id) * stride) / scale);
    const aligned = Math.max(...sources.map((id) => this.#alignedRows(this.#imageRowBytes(id))));
    const halo = Math.max(...sources.map((id) => this.#imageRowBytes(id))) * (kernel + aligned);
    const band = this.#bandRows(outHeight, [...widths, this.#imageRowBytes(node.output)], halo);
    const parts: Part[] = [];
    for (let image = 0; image < batch; image++)
      for (let row = 0; row < outHeight; row += band) {
        const count = Math.min(band, outHeight - row);
        // Input rows in the coordinates of the (doubled) image, then in those of the stored one.
        const first = row * stride - top;
        const last = (row + count - 1) * stride - top + kernel;
        const needed = image * height + Math.max(0, Math.floor(first / scale));
        // Windows begin at aligned rows; rows too many are skipped by negative padding, as doubling's odd row is.
        const from = Math.max(0, Math.floor(needed / aligned) * aligned - image * height);
        const to = Math.min(height, Math.ceil(last / scale));
        const cut = (id: ValueId): ValueId => {
          const channels = this.#shape(id)[3];
          return this.#window(id, (image * height + from) * width * channels, [
            1,
            to - from,
            width,
            channels,
          ]);
        };
        const output = this.#newValue(node.output, [1, count, outWidth, outChannels]);
        const start = (image * outHeight + row) * outWidth * outChannels;
        this.nodes.push({
          ...node,
          inputs: {
            ...node.inputs,
            x: cut(x),
            ...(x2 !== undefined && { x2: cut(x2) }),
            ...(residual !== undefined && {
              residual: this.#window(residual, start, [1, count, outWidth, outChannels]),
            }),
            ...(rowIndex !== undefined && batch > 1 && { rowIndex: this.#window(rowIndex, image, [1]) }),
            ...(rows !== undefined &&
              rowIndex === undefined &&
              batch > 1 && { rows: this.#window(rows, image * outChannels, [1, outChannels]) }),
          },
          // Padding is what is missing at the band's edges.
          attrs: { ...node.attrs, padding: [from * scale - first, left, last - to * scale, right] },
          output,
        });
        parts.push({ start, length: count * outWidth * outChannels, value: output });
      }
    this.#finish(node.output, parts);
  }

  /** Statistics of each band, then each band normalised by the statistics of all. */
  #splitGroupNorm(node: NodeOf<'groupNorm'>): void {
    const { x, x2, weight, bias } = node.inputs;
    const { groups, eps, activation } = node.attrs;
    const shape = this.#shape(node.output);
    const [batch, channels] = [shape[0], shape.at(-1)!];
    const positions = product(shape) / (batch * channels);
    const sources = [x, ...(x2 === undefined ? [] : [x2])];
    const band = this.#bandRows(
      positions,
      [...sources, node.output].map((id) => this.#rowBytes(id)),
    );
    const parts: Part[] = [];
    for (let image = 0; image < batch; image++) {
      const bands = Array.from({ length: Math.ceil(positions / band) }, (_, i) => {
        const row = i * band;
        const count = Math.min(band, positions - row);
        const cut = (id: ValueId): ValueId => {
          const width = this.#shape(id).at(-1)!;
          return this.#window(id, (image * positions + row) * width, [1, count, width]);
        };
        return { row, count, inputs: { x: cut(x), ...(x2 !== undefined && { x2: cut(x2) }) } };
      });
      let stats: ValueId | undefined;
      bands.forEach(({ inputs }, i) => {
        const output = this.#newStats(`${node.name}.stats${i}`, [1, groups, 3]);
        const previous = stats === undefined ? {} : { previous: stats };
        this.nodes.push({
          kind: 'groupNormStats',
          name: node.name,
          inputs: { ...inputs, ...previous },
          attrs: { groups },
          output,
        });
        stats = output;
      });
      if (stats === undefined) return;
      for (const { row, count, inputs } of bands) {
        const output = this.#newValue(node.output, [1, count, channels]);
        this.nodes.push({
          kind: 'groupNormApply',
          name: node.name,
          inputs: { ...inputs, stats, weight, bias },
          attrs: { groups, eps, activation },
          output,
        });
        parts.push({ start: (image * positions + row) * channels, length: count * channels, value: output });
      }
    }
    this.#finish(node.output, parts);
  }

  /** The parts become the whole, unless no buffer could hold it. */
  #finish(whole: ValueId, parts: readonly Part[]): void {
    if (this.#bytes(whole) > this.#target.maxBufferBytes) this.#scattered.set(whole, parts);
    else
      this.nodes.push(
        this.#joined(
          whole,
          parts.map((part) => part.value),
        ),
      );
  }

  #joined(whole: ValueId, parts: readonly ValueId[]): Node {
    const value = this.#value(whole);
    return {
      kind: 'join',
      name: value.name,
      inputs: Object.fromEntries(parts.map((part, i) => [`p${i}`, part])),
      attrs: { shape: value.shape },
      output: whole,
    };
  }

  /** A range of a value; a range over several parts of a scattered value is copied together. */
  #window(source: ValueId, start: number, shape: readonly number[]): ValueId {
    const end = start + product(shape);
    const parts = this.#scattered.get(source);
    if (!parts) return this.#view(source, start, shape);
    const met = parts.filter((part) => part.start < end && part.start + part.length > start);
    const only = met.length === 1 ? met[0] : undefined;
    if (only) return this.#view(only.value, start - only.start, shape);
    const width = shape.at(-1) ?? 1;
    const copies = met.map((part) => {
      const [from, to] = [Math.max(start, part.start), Math.min(end, part.start + part.length)];
      const piece = this.#view(part.value, from - part.start, [(to - from) / width, width]);
      const copy = this.#newValue(source, [(to - from) / width, width]);
      this.nodes.push({
        kind: 'affine',
        name: 'copy',
        inputs: { x: piece },
        attrs: { scale: 1, shift: 0 },
        output: copy,
      });
      return copy;
    });
    const joined = this.#newValue(source, shape);
    this.nodes.push(this.#joined(joined, copies));
    return joined;
  }

  #view(source: ValueId, start: number, shape: readonly number[]): ValueId {
    const offset = (start * this.#rowBytes(source)) / (this.#shape(source).at(-1) ?? 1);
    if (offset % this.#target.alignment !== 0)
      throw new OutOfMemoryError(
        `is over ${this.#target.maxBindingBytes} bytes and its rows are not aligned`,
        {
          field: this.#value(source).name,
          remedy: 'Use a batch of one, a width that is a multiple of 64, or a device with larger bindings',
        },
      );
    const output = this.#newValue(source, shape);
    this.nodes.push({
      kind: 'window',
      name: this.#value(source).name,
      inputs: { x: source },
      attrs: { start, shape },
      output,
    });
    return output;
  }

  /**
   * Most rows a band may have so that no binding is too large and every band begins at an aligned offset.
   * @param halo bytes that a window needs beyond its own rows
   */
  #bandRows(rows: number, rowBytes: readonly number[], halo = 0): number {
    const { maxBindingBytes } = this.#target;
    const most = Math.min(rows, ...rowBytes.map((bytes) => Math.floor((maxBindingBytes - halo) / bytes)));
    const step = Math.max(...rowBytes.map((bytes) => this.#alignedRows(Math.ceil(bytes))));
    const band = most >= rows ? rows : Math.floor(most / step) * step;
    if (band >= 1) return band;
    throw new OutOfMemoryError(
      `one row needs ${Math.max(...rowBytes) + halo} bytes, a binding may have ${maxBindingBytes}`,
      {
        remedy: 'Use a smaller width, or a device with larger bindings',
      },
    );
  }

  /** Every how many rows an aligned offset comes. */
  #alignedRows(rowBytes: number): number {
    const { alignment } = this.#target;
    return alignment / greatestCommonDivisor(alignment, rowBytes);
  }

  #value(id: ValueId): Value {
    return this.values.get(id) ?? valueOf(this.#graph, id);
  }

  #shape(id: ValueId): number[] {
    return concrete(this.#value(id).shape);
  }

  #bytes(id: ValueId): number {
    const { dtype } = this.#value(id);
    return product(this.#shape(id)) * DEVICE_DTYPE_BYTES[dtype === 'float' ? this.#target.dtype : dtype];
  }

  #rowBytes(id: ValueId): number {
    return (this.#bytes(id) / product(this.#shape(id))) * (this.#shape(id).at(-1) ?? 1);
  }

  #imageRowBytes(id: ValueId): number {
    return this.#rowBytes(id) * (this.#shape(id)[2] ?? 1);
  }

  #newValue(like: ValueId, shape: readonly number[]): ValueId {
    this.values.set(this.#nextId, { ...this.#value(like), shape });
    return this.#nextId++;
  }

  #newStats(name: string, shape: readonly number[]): ValueId {
    this.values.set(this.#nextId, { name, shape, dtype: 'f32' });
    return this.#nextId++;
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

export const splitLarge: Pass = {
  name: 'split-large',
  summary: 'work on values over the binding limit is split by rows',
  run(graph, target) {
    const splitter = new Splitter(graph, target);
    splitter.run();
    const { nodes, values, applied, refused } = splitter;
    return { graph: applied === 0 ? graph : removeUnused({ ...graph, nodes, values }), applied, refused };
  },
};
