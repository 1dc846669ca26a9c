/**
 * @file Makes a plan: runs the passes, picks a kernel for every node, and lays values out in memory. Pure.
 */

import { GraphError } from '../errors.ts';
import { valueOf, type Graph } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import { definitionOf, inputsOf, type Node } from '../graph/ops.ts';
import { runPasses } from '../passes/index.ts';
import { DEVICE_DTYPE_BYTES } from '../tensor/dtype.ts';
import { concrete } from '../tensor/shape.ts';
import { largestLiveSet, layOut, type Block } from './layout.ts';
import type { ExternalTensor, Place, Plan, PlannedDispatch, PlannedValue } from './plan.ts';
import type { DeviceType, KernelChoice, Target } from './target.ts';

/** Plans a graph with concrete shapes (see `bindGraph`) for a target. */
export function plan(source: Graph, target: Target): Plan {
  const { graph, reports } = runPasses(source, target);
  return { ...layOutGraph(graph, target), passes: reports };
}

/** Plans a graph as it is, without passes. Tests and benchmarks of single ops use it. */
export function layOutGraph(graph: Graph, target: Target): Plan {
  const types = deviceTypes(graph, target);
  const typeOf = (id: ValueId): DeviceType => types.get(id) ?? missing(graph, id);
  const sizes = new Map(
    [...types].map(([id, type]) => {
      const elements = type.shape.reduce((a, b) => a * b, 1);
      return [id, { ...type, bytes: elements * DEVICE_DTYPE_BYTES[type.dtype] }] as const;
    }),
  );

  const nodes = graph.nodes.filter((node) => definitionOf(node.kind).isView !== true);
  const choices = nodes.map((node) => target.select(node, typeOf, nodes));
  const bytesOf = (id: ValueId): number => sizes.get(id)?.bytes ?? 0;
  const roots = findRoots(graph, nodes, choices, bytesOf);
  const root = (id: ValueId): ValueId => roots.rootOf(id).value;

  const fixed = fixedPlaces(graph, root);
  const { blocks, blockOf, scratchOf } = makeBlocks(nodes, choices, root, fixed, bytesOf, target);
  const { places, buffers } = layOut(blocks, target);
  const placeOfBlock = (index: number): Place => ({
    kind: 'arena',
    buffer: places[index].buffer,
    offset: places[index].offset,
  });

  const placeOf = (id: ValueId): Place => {
    const at = roots.rootOf(id);
    const block = blockOf.get(at.value);
    const place = fixed.places.get(at.value) ?? (block === undefined ? undefined : placeOfBlock(block));
    if (!place) throw bug(graph, `value ${id} has no place`);
    const offset = place.offset + at.offset;
    if (at.offset % target.alignment !== 0)
      throw bug(graph, `value ${id} begins at byte ${at.offset} of its place`);
    return { ...place, offset };
  };
  const values = new Map<ValueId, PlannedValue>();
  for (const [id, size] of sizes)
    if (fixed.places.has(root(id)) || blockOf.has(root(id)))
      values.set(id, { name: valueOf(graph, id).name, ...size, place: placeOf(id) });

  const dispatches = nodes.map((node, i): PlannedDispatch => {
    const choice = choices[i];
    const inPlace = roots.inPlace.get(node.output);
    return {
      node,
      kernel: choice.kernel,
      ...(choice.variant === undefined ? {} : { variant: choice.variant }),
      scratch: (scratchOf.get(i) ?? []).map((block) => ({
        bytes: blocks[block].bytes,
        place: placeOfBlock(block),
      })),
      ...(inPlace === undefined ? {} : { inPlace }),
    };
  });
  return {
    name: graph.name,
    target: target.name,
    dtype: target.dtype,
    values,
    dispatches,
    inputs: graph.inputs,
    outputs: graph.outputs,
    weights: graph.weights,
    tensors: fixed.tensors.map((tensor): ExternalTensor => {
      const size = sizes.get(tensor.value);
      if (!size) throw bug(graph, `tensor ${tensor.name} has no size`);
      return { name: tensor.name, ...size };
    }),
    arena: buffers,
    memory: {
      unplannedBytes: nodes.reduce(
        (sum, node) => sum + (fixed.places.has(node.output) ? 0 : bytesOf(node.output)),
        0,
      ),
      largestLiveSetBytes: largestLiveSet(
        blocks,
        blocks.map(({ bytes }) => bytes),
      ),
      arenaBytes: buffers.reduce((sum, bytes) => sum + bytes, 0),
    },
    passes: [],
  };
}

/** What each value of a graph with concrete shapes is on a target's device. */
export function deviceTypes(
  graph: Graph,
  { dtype: float, weightDtype = float }: Pick<Target, 'dtype' | 'weightDtype'>,
): Map<ValueId, DeviceType> {
  const types = new Map(
    [...graph.values].map(([id, { shape, dtype }]): [ValueId, DeviceType] => [
      id,
      { shape: concrete(shape), dtype: dtype === 'float' ? float : dtype },
    ]),
  );
  for (const { value } of graph.weights) {
    const { shape } = types.get(value) ?? missing(graph, value);
    if (shape.length > 1) types.set(value, { shape, dtype: weightDtype });
  }
  return types;
}

function missing(graph: Graph, id: ValueId): never {
  throw bug(graph, `value ${id} is not in it`);
}

function bug(graph: Graph, problem: string): GraphError {
  return new GraphError(problem, {
    file: `graph "${graph.name}"`,
    remedy: 'This is a bug in the planner or a pass',
  });
}

/** A range of another value's place. */
interface Root {
  readonly value: ValueId;
  /** In bytes. */
  readonly offset: number;
}

interface Roots {
  /** The value whose place a value shares: views share their source's, parts their whole's, in-place results what they overwrite. */
  rootOf(id: ValueId): Root;
  /** For values made in place, the name of the input that they overwrite. */
  readonly inPlace: ReadonlyMap<ValueId, string>;
}

/** What each view, and each part of a join, is a range of; one step each. */
function viewLinks(graph: Graph, bytesOf: (id: ValueId) => number): Map<ValueId, Root> {
  const links = new Map<ValueId, Root>();
  const elementBytes = (id: ValueId): number =>
    bytesOf(id) / concrete(valueOf(graph, id).shape).reduce((a, b) => a * b, 1);
  for (const node of graph.nodes) {
    if (node.kind === 'reshape') links.set(node.output, { value: node.inputs.x, offset: 0 });
    if (node.kind === 'window')
      links.set(node.output, {
        value: node.inputs.x,
        offset: node.attrs.start * elementBytes(node.inputs.x),
      });
    if (node.kind !== 'join') continue;
    let offset = 0;
    for (const [, part] of inputsOf(node)) {
      links.set(part, { value: node.output, offset });
      offset += bytesOf(part);
    }
  }
  return links;
}

function findRoots(
  graph: Graph,
  dispatched: readonly Node[],
  choices: readonly KernelChoice[],
  bytesOf: (id: ValueId) => number,
): Roots {
  const links = viewLinks(graph, bytesOf);
  const inPlace = new Map<ValueId, string>();
  const rootOf = (id: ValueId): Root => {
    let at: Root = { value: id, offset: 0 };
    for (let link = links.get(id); link; link = links.get(link.value))
      at = { value: link.value, offset: at.offset + link.offset };
    return at;
  };
  const position = new Map(graph.nodes.map((node, i) => [node.output, i]));
  const lastUse = new Map<ValueId, number>();
  graph.nodes.forEach((node, i) => {
    if (definitionOf(node.kind).isView !== true)
      for (const [, id] of inputsOf(node)) lastUse.set(rootOf(id).value, i);
  });
  const kept = new Set(
    [...graph.inputs, ...graph.weights, ...graph.outputs].map(({ value }) => rootOf(value).value),
  );
  const updated = new Map(
    graph.outputs.flatMap(({ value, updates }): [ValueId, string][] =>
      updates === undefined ? [] : [[value, updates]],
    ),
  );
  const inputByName = new Map(graph.inputs.map(({ name, value }) => [name, value]));

  dispatched.forEach((node, i) => {
    const name = choices[i].inPlace;
    const source = name === undefined ? undefined : inputsOf(node).find(([key]) => key === name)?.[1];
    const update = updated.get(node.output);
    if (update !== undefined && (source === undefined || source !== inputByName.get(update)))
      throw bug(
        graph,
        `output "${node.name}" must be made in place of input "${update}", but its kernel does not`,
      );
    if (name === undefined || source === undefined) return;
    const target = rootOf(source);
    const readOnce = inputsOf(node).filter(([, id]) => rootOf(id).value === target.value).length === 1;
    const diesHere = lastUse.get(target.value) === position.get(node.output) && !kept.has(target.value);
    // A range of a larger value, on either side, stays where it is.
    const whole = bytesOf(target.value) === bytesOf(node.output) && rootOf(node.output).value === node.output;
    if (!readOnce || !whole || (update === undefined && (!diesHere || kept.has(node.output)))) return;
    links.set(node.output, { value: target.value, offset: 0 });
    inPlace.set(node.output, name);
    lastUse.set(target.value, lastUse.get(node.output) ?? lastUse.get(target.value) ?? 0);
  });
  return { rootOf, inPlace };
}

interface FixedPlaces {
  readonly places: ReadonlyMap<ValueId, Place>;
  readonly tensors: readonly { readonly name: string; readonly value: ValueId }[];
}

/** Inputs, weights and outputs have places of their own. */
function fixedPlaces(graph: Graph, root: (id: ValueId) => ValueId): FixedPlaces {
  const places = new Map<ValueId, Place>();
  const tensors: { name: string; value: ValueId }[] = [];
  graph.weights.forEach(({ value }, index) => places.set(value, { kind: 'weight', index, offset: 0 }));
  const external = (name: string, value: ValueId): void => {
    places.set(value, { kind: 'external', tensor: name, offset: 0 });
    tensors.push({ name, value });
  };
  for (const { name, value } of graph.inputs) external(name, value);
  for (const { name, value } of graph.outputs) if (!places.has(root(value))) external(name, root(value));
  return { places, tensors };
}

/** Lifetimes of everything that goes into the arena, scratch included. */
function makeBlocks(
  nodes: readonly Node[],
  choices: readonly KernelChoice[],
  root: (id: ValueId) => ValueId,
  fixed: FixedPlaces,
  bytesOf: (id: ValueId) => number,
  target: Target,
): { blocks: Block[]; blockOf: Map<ValueId, number>; scratchOf: Map<number, number[]> } {
  const blocks: { name: string; bytes: number; first: number; last: number; apart: Set<number> }[] = [];
  const blockOf = new Map<ValueId, number>();
  const scratchOf = new Map<number, number[]>();
  nodes.forEach((node, step) => {
    const read = [...new Set(inputsOf(node).flatMap(([, id]) => blockOf.get(root(id)) ?? []))];
    for (const index of read) blocks[index].last = step;
    const written: number[] = [];
    const at = root(node.output);
    let output = blockOf.get(at);
    if (!fixed.places.has(at)) {
      if (output === undefined) {
        output =
          blocks.push({ name: node.name, bytes: bytesOf(at), first: step, last: step, apart: new Set() }) - 1;
        blockOf.set(at, output);
      }
      written.push(output);
    }
    const scratch = choices[step].scratchBytes.map(
      (bytes, i) =>
        blocks.push({ name: `${node.name}.scratch${i}`, bytes, first: step, last: step, apart: new Set() }) -
        1,
    );
    if (scratch.length > 0) scratchOf.set(step, scratch);
    written.push(...scratch);
    if (target.mayReadAndWriteOneBuffer) return;
    for (const w of written)
      for (const r of read)
        if (r !== w) {
          blocks[w].apart.add(r);
          blocks[r].apart.add(w);
        }
  });
  return { blocks, blockOf, scratchOf };
}
