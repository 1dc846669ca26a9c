/**
 * @file Splits a graph into what runs once a prompt, once for all steps, and at every step.
 *
 * Values that depend on prompts only (cross-attention K and V) form the `prompt` graph. Values that depend on the
 * timestep, and on prompts but not on latents, form the `step` graph: it runs once for all steps, with one batch
 * row for each (step, prompt) pair, and fills tables. The `latent` graph is the rest; it picks its rows of the
 * tables with `stepRow`, which may differ from image to image, so requests at different steps can share a batch.
 */

import type { Graph, GraphInput, GraphOutput, Value } from '../graph/graph.ts';
import { removeUnused, valueOf } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import { inputsOf, type Node } from '../graph/ops.ts';
import { joinRates, RATE, type Rate } from '../graph/rate.ts';
import { mulDims, sizeOf, symbol, type Shape } from '../tensor/shape.ts';

/** The parts; a part without nodes is absent. */
export interface SplitGraph {
  /** Inputs: the graph's prompt inputs. Outputs: values that later parts read. */
  readonly prompt: Graph | undefined;
  /**
   * Inputs: the timesteps [rows], prompt values as tables [prompts, channels] and `promptRow` [rows] i32.
   * Outputs: tables [rows, channels]. Its batch is rows = steps x batch, step-major.
   */
  readonly step: Graph | undefined;
  /** Inputs: the graph's latent inputs, prompt values, tables [rows, channels] and `stepRow` [batch] i32. */
  readonly latent: Graph;
}

/** Input of the step graph: which prompt each row belongs to. */
export const PROMPT_ROW = 'promptRow';
/** Input of the latent graph: which row of the tables each batch row takes. */
export const STEP_ROW = 'stepRow';

/** How often each value changes. */
export function rateOfEach(graph: Graph): Map<ValueId, Rate> {
  const rates = new Map<ValueId, Rate>();
  for (const { value } of graph.weights) rates.set(value, RATE.weight);
  for (const { value, rate } of graph.inputs) rates.set(value, RATE[rate]);
  for (const node of graph.nodes)
    rates.set(node.output, joinRates(inputsOf(node).map(([, id]) => rates.get(id) ?? RATE.latent)));
  return rates;
}

type Part = 'prompt' | 'step' | 'latent';

function partOf(rate: Rate): Part {
  return rate === RATE.latent ? 'latent' : (rate & RATE.step) !== 0 ? 'step' : 'prompt';
}

/** Splits a graph (with symbolic shapes) by rate. */
export function splitByRate(graph: Graph): SplitGraph {
  const rates = rateOfEach(graph);
  const weights = new Set(graph.weights.map((weight) => weight.value));
  const inputByValue = new Map(graph.inputs.map((input) => [input.value, input]));
  const part = (id: ValueId): Part => partOf(rates.get(id) ?? RATE.latent);
  const nodesOf = (which: Part): Node[] => graph.nodes.filter((node) => part(node.output) === which);

  /** Values made in `from` (or given to it as inputs) that nodes or outputs of `to` read. */
  const crossing = (from: Part, to: Part): ValueId[] => {
    const read = nodesOf(to).flatMap((node) => inputsOf(node).map(([, id]) => id));
    if (to === 'latent') read.push(...graph.outputs.map((output) => output.value));
    return [...new Set(read)].filter((id) => !weights.has(id) && part(id) === from);
  };
  const boundary = (id: ValueId): string => inputByValue.get(id)?.name ?? `${id}.${valueOf(graph, id).name}`;
  const asOutputs = (ids: readonly ValueId[]): GraphOutput[] =>
    [...new Set(ids)]
      .filter((id) => !inputByValue.has(id))
      .map((value) => ({ name: boundary(value), value }));
  const inputsFor = (...rate: string[]): GraphInput[] =>
    graph.inputs.filter((input) => rate.includes(input.rate));

  const toStep = crossing('prompt', 'step');
  const toLatent = crossing('prompt', 'latent');
  const tables = crossing('step', 'latent');

  const prompt: Graph = removeUnused({
    ...graph,
    name: `${graph.name}.prompt`,
    nodes: nodesOf('prompt'),
    inputs: inputsFor('prompt'),
    outputs: asOutputs([...toStep, ...toLatent]),
  });
  const step = readTables(
    {
      ...graph,
      name: `${graph.name}.step`,
      nodes: nodesOf('step'),
      inputs: inputsFor('step'),
      outputs: asOutputs(tables),
    },
    toStep.map((value) => ({ value, name: boundary(value) })),
    { index: PROMPT_ROW, rows: 'prompts', rate: 'prompt' },
  );
  const latent = readTables(
    {
      ...graph,
      name: `${graph.name}.latent`,
      nodes: nodesOf('latent'),
      inputs: [
        ...inputsFor('latent'),
        ...toLatent.map((value): GraphInput => ({ name: boundary(value), value, rate: 'prompt' })),
      ],
    },
    tables.map((value) => ({ value, name: boundary(value) })),
    { index: STEP_ROW, rows: 'rows', rate: 'step' },
  );
  return {
    prompt: prompt.nodes.length > 0 ? prompt : undefined,
    step: step.nodes.length > 0 ? step : undefined,
    latent,
  };
}

/** Replaces values from an earlier part by rows of tables that are picked by an index input. */
function readTables(
  graph: Graph,
  read: readonly { readonly value: ValueId; readonly name: string }[],
  table: { readonly index: string; readonly rows: string; readonly rate: 'prompt' | 'step' },
): Graph {
  const first = read[0];
  if (!first) return removeUnused(graph);
  const values = new Map(graph.values);
  let nextId = Math.max(-1, ...values.keys()) + 1;
  const newValue = (value: Value): ValueId => {
    values.set(nextId, value);
    return nextId++;
  };
  const batch = valueOf(graph, first.value).shape[0] ?? 1;
  const index = newValue({ name: table.index, shape: [batch], dtype: 'i32' });
  const inputs: GraphInput[] = [...graph.inputs, { name: table.index, value: index, rate: 'latent' }];
  const gathers = read.flatMap(({ value, name }): Node[] => {
    const { shape, dtype } = valueOf(graph, value);
    const width = sizeOf(shape.slice(1));
    const tableShape: Shape = [symbol(table.rows), width];
    const source = newValue({ name: `${name}.table`, shape: tableShape, dtype });
    inputs.push({ name, value: source, rate: table.rate });
    const gather = (output: ValueId): Node => ({
      kind: 'gatherRows',
      name: `${name}.row`,
      inputs: { table: source, index },
      attrs: {},
      output,
    });
    if (shape.length === 2) return [gather(value)];
    const flat = newValue({ name: `${name}.flat`, shape: [batch, mulDims(width)], dtype });
    return [
      gather(flat),
      { kind: 'reshape', name: `${name}.row`, inputs: { x: flat }, attrs: { shape }, output: value },
    ];
  });
  return removeUnused({ ...graph, values, inputs, nodes: [...gathers, ...graph.nodes] });
}
