/**
 * @file The graph: plain data that model files build, passes rewrite and the planner lays out.
 *
 * Values are numbered; nodes are in topological order; each node makes one value. Leaves are inputs (with the
 * rate at which they change) and weights (stored tensors, possibly several stacked along axis 0).
 */

import { GraphError } from '../errors.ts';
import { bindDim, bindShape, type Bindings } from '../tensor/shape.ts';
import type { ValueId, ValueType } from './op.ts';
import { inferNode, inputsOf, type Node } from './ops.ts';
import type { InputRate } from './rate.ts';
import { sameShape, formatShape } from '../tensor/shape.ts';

/** A value: its type and a name for people. */
export interface Value extends ValueType {
  readonly name: string;
}

/** A tensor of the model's files. */
export interface StoredTensor {
  readonly name: string;
  /** The shape that the file must have. */
  readonly shape: readonly number[];
}

/** A weight: one stored tensor, or several stacked along axis 0, seen in the value's shape. */
export interface Weight {
  readonly value: ValueId;
  readonly parts: readonly StoredTensor[];
}

/** A value given from outside before a run. */
export interface GraphInput {
  readonly name: string;
  readonly value: ValueId;
  readonly rate: InputRate;
}

/** A value taken out after a run. */
export interface GraphOutput {
  readonly name: string;
  readonly value: ValueId;
  /** Name of the input that this output replaces for the next run (state that lives on the device). */
  readonly updates?: string;
}

/** A network, or a part of one. */
export interface Graph {
  readonly name: string;
  readonly values: ReadonlyMap<ValueId, Value>;
  readonly nodes: readonly Node[];
  readonly inputs: readonly GraphInput[];
  readonly weights: readonly Weight[];
  readonly outputs: readonly GraphOutput[];
}

/** The value with this id; throws GraphError if the graph has none. */
export function valueOf(graph: Graph, id: ValueId): Value {
  const value = graph.values.get(id);
  if (!value)
    throw new GraphError(`no value ${id} in graph "${graph.name}"`, { remedy: 'This is a bug in a pass' });
  return value;
}

/** How many nodes and outputs use each value. */
export function useCounts(graph: Graph): Map<ValueId, number> {
  const counts = new Map<ValueId, number>();
  const count = (id: ValueId): void => void counts.set(id, (counts.get(id) ?? 0) + 1);
  for (const node of graph.nodes) for (const [, id] of inputsOf(node)) count(id);
  for (const output of graph.outputs) count(output.value);
  return counts;
}

/** The node that makes each value. */
export function producers(graph: Graph): Map<ValueId, Node> {
  return new Map(graph.nodes.map((node) => [node.output, node]));
}

/**
 * Checks that the graph is well formed: order, one producer a value, every node's inputs fit, its output has the
 * inferred type, and outputs that update inputs have their types. Run by tests after every pass.
 * @throws GraphError naming the node or output.
 */
export function checkGraph(graph: Graph): void {
  const fail = (problem: string, field: string, cause?: unknown): never => {
    const remedy = 'This is a bug in the model file or a pass';
    throw new GraphError(problem, { file: `graph "${graph.name}"`, field, remedy, cause });
  };
  const infer = (node: Node): ValueType => {
    try {
      return inferNode(node, (id) => valueOf(graph, id));
    } catch (cause) {
      if (!(cause instanceof GraphError)) throw cause;
      return fail(cause.message, node.name, cause);
    }
  };
  const known = new Set([...graph.inputs, ...graph.weights].map((leaf) => leaf.value));
  for (const node of graph.nodes) {
    for (const [name, id] of inputsOf(node))
      if (!known.has(id)) fail(`input ${name} is used before it is made`, node.name);
    if (known.has(node.output)) fail('its value is made twice', node.name);
    known.add(node.output);
    const declared = valueOf(graph, node.output);
    const inferred = infer(node);
    // Holding a value in f32 is finer than what its op promises.
    const held =
      declared.dtype === 'f32' && inferred.dtype === 'float'
        ? { ...inferred, dtype: declared.dtype }
        : inferred;
    if (!sameType(declared, held))
      fail(`declares ${formatType(declared)} but makes ${formatType(inferred)}`, node.name);
  }
  for (const { name, value, updates } of graph.outputs) {
    if (!known.has(value)) fail('is never made', name);
    const updated = graph.inputs.find((input) => input.name === updates);
    if (updates === undefined) continue;
    if (!updated) fail(`updates "${updates}", which is no input`, name);
    else if (!sameType(valueOf(graph, value), valueOf(graph, updated.value)))
      fail(`updates "${updates}", which is ${formatType(valueOf(graph, updated.value))}`, name);
  }
}

function sameType(a: ValueType, b: ValueType): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

function formatType({ dtype, shape }: ValueType): string {
  return `${dtype} ${formatShape(shape)}`;
}

/** The same graph without nodes, weights, inputs and values that no output needs. */
export function removeUnused(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map((output) => output.value));
  const nodes: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!needed.has(node.output)) continue;
    nodes.unshift(node);
    for (const [, id] of inputsOf(node)) needed.add(id);
  }
  return {
    ...graph,
    nodes,
    values: new Map([...graph.values].filter(([id]) => needed.has(id))),
    inputs: graph.inputs.filter((input) => needed.has(input.value)),
    weights: graph.weights.filter((weight) => needed.has(weight.value)),
  };
}

/** The graph with numbers in place of its symbols. */
export function bindGraph(graph: Graph, bindings: Bindings): Graph {
  const values = new Map(
    [...graph.values].map(([id, value]) => [id, { ...value, shape: bindShape(value.shape, bindings) }]),
  );
  const nodes = graph.nodes.map((node): Node => {
    switch (node.kind) {
      case 'reshape':
      case 'join':
        return { ...node, attrs: { shape: bindShape(node.attrs.shape, bindings) } };
      case 'window':
        return { ...node, attrs: { ...node.attrs, shape: bindShape(node.attrs.shape, bindings) } };
      case 'upsampleNearest':
        return {
          ...node,
          attrs: { height: bindDim(node.attrs.height, bindings), width: bindDim(node.attrs.width, bindings) },
        };
      default:
        return node;
    }
  });
  return { ...graph, values, nodes };
}
