/**
 * @file Tilings of a plan's products on matrices, chosen together. NVIDIA's driver compiles one pipeline after the other, a
 * tenth to a third of a second each, before a process has its first picture; so a tiling whose pipeline no other product
 * needs is left for the next best one where that costs next to nothing a run. SD1.5's first picture takes 22 of these pipelines
 * and not 31, and its step 0.2 % longer by the estimates.
 */

import type { Node } from '../graph/ops.ts';
import { gemmSize, goesApart, type GemmNode } from './gemm.ts';
import { isActivated, isNarrow, tilings, type Tiling } from './gemm-matrix-tiling.ts';
import type { KernelContext } from './kernel.ts';
import type { MatrixShape } from './matrix-shape.ts';

/** Microseconds that a pipeline must gain in a run of the plan, and its least share of the time of all products. */
const LEAST_GAIN = 10;
const LEAST_SHARE = 0.0015;

/**
 * How many times that a pipeline with an activation must gain. Products with activations are mostly those of text encoders,
 * which run once a prompt; in steps (PixArt) they are large, and gain far more.
 */
const ACTIVATED = 20;

/** Shape of the linear layers that text encoders have in any case: plans for others may have them, too, for nothing. */
const USUAL = '1x5 4x1 8';

/** A way to run a product. */
interface Way {
  readonly tiling: Tiling;
  readonly pipeline: string;
}

/** The matrices that a node runs on; undefined if it cannot. */
type MatrixOf = (node: GemmNode, context: KernelContext) => MatrixShape | undefined;

/** Products that can be run in the same ways. */
interface Alike {
  readonly nodes: GemmNode[];
  /** Those of different pipelines, the fastest first. */
  readonly ways: readonly Way[];
}

/** What sets pipelines for tilings apart; see the constants of gemm-matrix.ts. */
function pipelineOf(node: GemmNode, context: KernelContext, matrix: MatrixShape, tiling: Tiling): string {
  const { shape, depth, parts } = tiling;
  const { sources, gated } = gemmSize(node, context);
  const whole = sources.every((channels) => channels % (depth * matrix.depth) === 0);
  return [
    shape,
    context.dtypeOf(node.inputs.x),
    node.kind,
    !whole ? 'cut' : sources.length > 1 ? 'two' : 'one',
    // What adds up gated sums is a pipeline of its own.
    ...(goesApart(parts)
      ? [gated ? 'apart gated' : 'apart']
      : [gated ? 'gated' : node.attrs.activation, ...(isNarrow(node, context) ? ['narrow'] : [])]),
  ].join(' ');
}

/** The fastest tiling for each pipeline, the fastest first. */
function waysOf(node: GemmNode, context: KernelContext, matrix: MatrixShape): Way[] {
  const ways = new Map<string, Way>();
  for (const tiling of tilings(node, context, matrix).toSorted((a, b) => a.estimate - b.estimate)) {
    const pipeline = pipelineOf(node, context, matrix, tiling);
    if (!ways.has(pipeline)) ways.set(pipeline, { tiling, pipeline });
  }
  return [...ways.values()];
}

/** Microseconds a run that are reason enough to compile a pipeline. */
function priceOf({ tiling: { shape, parts } }: Way, node: GemmNode, total: number): number {
  const price = Math.max(LEAST_GAIN, LEAST_SHARE * total);
  if (!goesApart(parts) && isActivated(node)) return ACTIVATED * price;
  return shape === USUAL && node.kind === 'linear' && node.attrs.activation !== 'geglu' ? 0 : price;
}

/** Leaves out one pipeline after the other, what is missed least first, until all that are left gain their price. */
function pipelinesToKeep(groups: readonly Alike[], prices: ReadonlyMap<string, number>): Set<string> {
  const kept = new Set(prices.keys());
  for (;;) {
    const gains = new Map([...kept].map((pipeline) => [pipeline, 0]));
    for (const { nodes, ways } of groups) {
      const first = ways.findIndex(({ pipeline }) => kept.has(pipeline));
      const second = ways.find(({ pipeline }, i) => i > first && kept.has(pipeline));
      const { pipeline, tiling } = ways[first];
      const gain = second ? nodes.length * (second.tiling.estimate - tiling.estimate) : Infinity;
      gains.set(pipeline, gains.get(pipeline)! + gain);
    }
    const [least] = [...gains]
      .map(([pipeline, gain]) => ({ pipeline, loss: gain - prices.get(pipeline)! }))
      .sort((a, b) => a.loss - b.loss);
    if (least === undefined || least.loss >= 0) return kept;
    kept.delete(least.pipeline);
  }
}

function chooseAll(nodes: readonly Node[], context: KernelContext, matrixOf: MatrixOf): Map<Node, Tiling> {
  const groups = new Map<string, Alike>();
  for (const node of nodes) {
    if (node.kind !== 'conv2d' && node.kind !== 'linear') continue;
    const matrix = matrixOf(node, context);
    if (!matrix) continue;
    const { activation } = node.attrs;
    const key = JSON.stringify([
      node.kind,
      activation,
      node.inputs.residual !== undefined,
      gemmSize(node, context),
      context.dtypeOf(node.inputs.x),
    ]);
    const group = groups.get(key) ?? { nodes: [], ways: waysOf(node, context, matrix) };
    groups.set(key, group);
    group.nodes.push(node);
  }
  const all = [...groups.values()];
  const total = all.reduce((sum, { nodes: alike, ways }) => sum + alike.length * ways[0].tiling.estimate, 0);
  const prices = new Map(
    all.flatMap(({ nodes: [node], ways }) => ways.map((way) => [way.pipeline, priceOf(way, node, total)])),
  );
  const kept = pipelinesToKeep(all, prices);
  return new Map(
    all.flatMap(({ nodes: alike, ways }) => {
      const { tiling } = ways.find(({ pipeline }) => kept.has(pipeline))!;
      return alike.map((node) => [node, tiling] as const);
    }),
  );
}

/** By the nodes of a plan, which are planned once. */
const chosen = new WeakMap<readonly Node[], ReadonlyMap<Node, Tiling>>();

/** The tiling that suits a node in its plan; undefined if no plan is being made. */
export function tilingInPlan(node: GemmNode, context: KernelContext, matrixOf: MatrixOf): Tiling | undefined {
  const { nodes } = context;
  if (!nodes) return undefined;
  const all = chosen.get(nodes) ?? chooseAll(nodes, context, matrixOf);
  chosen.set(nodes, all);
  return all.get(node);
}
