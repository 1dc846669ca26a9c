/**
 * @file Builds a graph op by op, checking and inferring shapes on the way.
 *
 * Model files call the layer methods (`conv2d`, `linear`, `groupNorm`, ...) with the path under which the
 * model's files store the layer's tensors: `b.linear(x, 'attn1.to_q', { channels: 320, bias: false })` declares
 * the weight `attn1.to_q.weight`. They write a network plainly, one op after the other; biases, residuals and
 * activations are separate ops, and passes fuse them.
 */

import { GraphError } from '../errors.ts';
import { formatShape, mulDims, sameShape, type Dim, type Shape } from '../tensor/shape.ts';
import type { ValueDType } from '../tensor/dtype.ts';
import type { Graph, GraphInput, GraphOutput, StoredTensor, Value, Weight } from './graph.ts';
import type { Activation, InputTypes, OpTypes, ValueId } from './op.ts';
import { inferOp, type Node, type NodeOf, type OpKind, type OpMap } from './ops.ts';
import type { InputRate } from './rate.ts';

/** Options of `GraphBuilder.conv2d`. */
export interface Conv2dLayer {
  /** Output channels. */
  readonly channels: number;
  /** Side of the square kernel. */
  readonly kernel: number;
  /** Default 1. */
  readonly stride?: number;
  /** Zero padding on all sides, or top, left, bottom, right; default floor(kernel / 2). */
  readonly padding?: number | readonly [number, number, number, number];
  /** Default true. */
  readonly bias?: boolean;
}

/** Options of `GraphBuilder.linear`. */
export interface LinearLayer {
  /** Output channels. */
  readonly channels: number;
  /** Default true. */
  readonly bias?: boolean;
  /** Set when the file stores the weight as a 1x1 convolution, [out, in, 1, 1]. */
  readonly storedAsConv?: boolean;
}

/** Options of `GraphBuilder.attention`; scale is 1 / sqrt(headDim). */
export interface AttentionLayer {
  readonly heads: number;
  readonly headDim: number;
  /** Default false. */
  readonly causal?: boolean;
  /** Added to the scores: see `AttentionOp`. Default none. */
  readonly bias?: ValueId;
}

/** Builds one graph. Values are referred to by the ids that its methods return. */
export class GraphBuilder {
  readonly #name: string;
  readonly #values = new Map<ValueId, Value>();
  readonly #nodes: Node[] = [];
  readonly #inputs: GraphInput[] = [];
  readonly #weights: Weight[] = [];
  readonly #weightByName = new Map<string, ValueId>();
  readonly #outputs: GraphOutput[] = [];
  #prefix = '';

  constructor(name: string) {
    this.#name = name;
  }

  /** Declares a value given from outside; `rate` says how often it changes. */
  input(name: string, shape: Shape, dtype: ValueDType, rate: InputRate): ValueId {
    const value = this.#value({ name, shape, dtype });
    this.#inputs.push({ name, value, rate });
    return value;
  }

  /**
   * Builds a part of the graph whose weights are stored under `path`, as those of a network of its own: a graph of
   * several networks tells their tensors apart by it.
   */
  within<T>(path: string, build: () => T): T {
    const outer = this.#prefix;
    this.#prefix = `${outer}${path}.`;
    try {
      return build();
    } finally {
      this.#prefix = outer;
    }
  }

  /**
   * Declares a stored tensor; asking for the same name again gives the same value (GraphError for another shape).
   * @param stored the shape in the file, when it differs from `shape` (same number of elements).
   */
  weight(path: string, shape: readonly number[], stored: readonly number[] = shape): ValueId {
    const name = this.#prefix + path;
    const known = this.#weightByName.get(name);
    if (known !== undefined) {
      if (sameShape(this.shapeOf(known), shape)) return known;
      throw new GraphError(
        `is ${formatShape(shape)} here and ${formatShape(this.shapeOf(known))} elsewhere`,
        {
          file: `graph "${this.#name}"`,
          field: name,
          remedy: 'Give every weight one shape',
        },
      );
    }
    const part: StoredTensor = { name, shape: stored };
    const value = this.#value({ name, shape, dtype: 'float' });
    this.#weights.push({ value, parts: [part] });
    this.#weightByName.set(name, value);
    return value;
  }

  /** A weight that is several stored tensors, one after the other along axis 0. */
  stackedWeight(name: string, parts: readonly StoredTensor[]): ValueId {
    const [{ shape }] = parts;
    const rows = parts.reduce((sum, part) => sum + part.shape[0], 0);
    const value = this.#value({ name, shape: [rows, ...shape.slice(1)], dtype: 'float' });
    this.#weights.push({ value, parts });
    return value;
  }

  /**
   * Names a result. `updates` names the input that it replaces for the next run; without it the name must not be
   * that of an input, since both name tensors of the program.
   */
  output(name: string, value: ValueId, updates?: string): void {
    if (name !== updates && this.#inputs.some((input) => input.name === name))
      throw new GraphError(`"${name}" is the name of an input already`, {
        file: `graph "${this.#name}"`,
        remedy: 'Give the output another name',
      });
    this.#outputs.push({ name, value, ...(updates === undefined ? {} : { updates }) });
  }

  /** Shape of a value. */
  shapeOf(value: ValueId): Shape {
    return this.#typeOf(value).shape;
  }

  /** Last dimension of a value, which must be a number. */
  channelsOf(value: ValueId): number {
    const channels = this.shapeOf(value).at(-1);
    if (typeof channels !== 'number')
      throw new GraphError(`${formatShape(this.shapeOf(value))} has no fixed channels`, {
        remedy: 'Give its last axis a number',
      });
    return channels;
  }

  /** Appends any op; the methods below are shorter for the common ones. */
  op<K extends OpKind>(kind: K, path: string, inputs: OpMap[K]['inputs'], attrs: OpMap[K]['attrs']): ValueId {
    const name = this.#prefix + path;
    const types = Object.fromEntries(
      Object.entries<ValueId>(inputs).map(([key, id]) => [key, this.#typeOf(id)]),
    );
    const type = this.#infer(kind, name, types, attrs);
    const output = this.#value({ name, ...type });
    const node: NodeOf<K> = { kind, name, inputs, attrs, output };
    // NodeOf<K> is a member of the union Node for every K, which TypeScript cannot see for a generic K.
    this.#nodes.push(node as Node);
    return output;
  }

  /** Convolution with weight [channels, in, kernel, kernel] and optional bias at `path`; x is NHWC. */
  conv2d(x: ValueId, path: string, layer: Conv2dLayer): ValueId {
    const { channels, kernel, stride = 1, padding = Math.floor(kernel / 2), bias = true } = layer;
    const weight = this.weight(`${path}.weight`, [channels, this.channelsOf(x), kernel, kernel]);
    const sides = typeof padding === 'number' ? ([padding, padding, padding, padding] as const) : padding;
    const y = this.op(
      'conv2d',
      path,
      { x, weight },
      { stride, padding: sides, upsample: false, activation: 'none' },
    );
    return bias ? this.addBias(y, path) : y;
  }

  /** Linear layer over the last axis with weight [channels, in] and optional bias at `path`. */
  linear(x: ValueId, path: string, layer: LinearLayer): ValueId {
    const shape = [layer.channels, this.channelsOf(x)];
    const weight = this.weight(`${path}.weight`, shape, layer.storedAsConv ? [...shape, 1, 1] : shape);
    const y = this.op('linear', path, { x, weight }, { activation: 'none' });
    return (layer.bias ?? true) ? this.addBias(y, path) : y;
  }

  /** Adds `path`.bias to the last axis. */
  addBias(x: ValueId, path: string): ValueId {
    return this.op('addBias', path, { x, bias: this.weight(`${path}.bias`, [this.channelsOf(x)]) }, {});
  }

  /** Group normalisation with weight and bias at `path`. */
  groupNorm(x: ValueId, path: string, layer: { readonly groups: number; readonly eps: number }): ValueId {
    return this.op(
      'groupNorm',
      path,
      { x, ...this.#scaleAndShift(x, path) },
      { ...layer, activation: 'none' },
    );
  }

  /** Layer normalisation of the last axis with weight and bias at `path`. */
  layerNorm(x: ValueId, path: string, layer: { readonly eps: number }): ValueId {
    return this.op('layerNorm', path, { x, ...this.#scaleAndShift(x, path) }, layer);
  }

  /** Activation function. */
  activate(x: ValueId, activation: Activation, name: string = activation): ValueId {
    return this.op('activate', name, { x }, { activation });
  }

  /** Sum of two values of the same shape. */
  add(a: ValueId, b: ValueId, name = 'add'): ValueId {
    return this.op('add', name, { a, b }, {});
  }

  /** Adds rows [batch, channels] to every position of x [batch, ..., channels]. */
  addRows(x: ValueId, rows: ValueId, name = 'add_rows'): ValueId {
    return this.op('addRows', name, { x, rows }, {});
  }

  /** x + scale[batch row, column] * addend; the addend may be one vector [batch, channels] for all positions. */
  addScaled(x: ValueId, addend: ValueId, scale: ValueId, column: number, name = 'add_scaled'): ValueId {
    return this.op('addScaled', name, { x, addend, scale }, { column });
  }

  /** x * scale + shift. */
  affine(x: ValueId, scale: number, shift: number, name = 'affine'): ValueId {
    return this.op('affine', name, { x }, { scale, shift });
  }

  /** Concatenation along the last axis. */
  concat(a: ValueId, b: ValueId, name = 'concat'): ValueId {
    return this.op('concat', name, { a, b }, {});
  }

  /** The same bytes in another shape. */
  reshape(x: ValueId, shape: Shape, name = 'reshape'): ValueId {
    return this.op('reshape', name, { x }, { shape });
  }

  /** [batch, height, width, channels] as tokens [batch, height * width, channels]. */
  toTokens(x: ValueId, name = 'to_tokens'): ValueId {
    const [batch = 1, height = 1, width = 1, channels = 1] = this.shapeOf(x);
    return this.reshape(x, [batch, mulDims(height, width), channels], name);
  }

  /** Attention of q, k and v [batch, tokens, heads * headDim], each taken from its first channel on. */
  attention(q: ValueId, k: ValueId, v: ValueId, name: string, layer: AttentionLayer): ValueId {
    const { heads, headDim, causal = false, bias } = layer;
    return this.op(
      'attention',
      name,
      { q, k, v, ...(bias !== undefined && { bias }) },
      { heads, headDim, causal, scale: 1 / Math.sqrt(headDim), offsets: [0, 0, 0] },
    );
  }

  /** Nearest-neighbour resize of NHWC x to height x width. */
  upsampleNearest(x: ValueId, height: Dim, width: Dim, name = 'upsample'): ValueId {
    return this.op('upsampleNearest', name, { x }, { height, width });
  }

  /** The finished graph. */
  build(): Graph {
    return {
      name: this.#name,
      values: this.#values,
      nodes: this.#nodes,
      inputs: this.#inputs,
      weights: this.#weights,
      outputs: this.#outputs,
    };
  }

  #scaleAndShift(x: ValueId, path: string): { weight: ValueId; bias: ValueId } {
    const shape = [this.channelsOf(x)];
    return { weight: this.weight(`${path}.weight`, shape), bias: this.weight(`${path}.bias`, shape) };
  }

  #infer(
    kind: OpKind,
    name: string,
    types: InputTypes<OpTypes>,
    attrs: object,
  ): { shape: Shape; dtype: ValueDType } {
    try {
      return inferOp(kind, types, attrs);
    } catch (cause) {
      if (!(cause instanceof GraphError)) throw cause;
      throw new GraphError(`${kind} "${name}": ${cause.message}`, {
        file: `graph "${this.#name}"`,
        remedy: 'See the cause for the types',
        cause,
      });
    }
  }

  #value(value: Value): ValueId {
    const id = this.#values.size;
    this.#values.set(id, value);
    return id;
  }

  #typeOf(id: ValueId): Value {
    const value = this.#values.get(id);
    if (!value) throw new GraphError(`no value ${id}`, { remedy: 'Use ids that this builder returned' });
    return value;
  }
}
