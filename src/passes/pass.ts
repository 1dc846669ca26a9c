/**
 * @file What a pass is, and the graph surgery that passes share.
 *
 * A pass is a pure function from a graph and a target to a graph, with a count of what it changed and the reasons
 * for what it left alone. Passes only look at nodes next to each other, so each can be read by itself.
 */

import type { Graph, Value } from '../graph/graph.ts';
import { producers, removeUnused, useCounts, valueOf } from '../graph/graph.ts';
import { inputsOf, type Node } from '../graph/ops.ts';
import type { ValueId } from '../graph/op.ts';
import type { Target } from '../plan/target.ts';

/** What one run of a pass gives. */
export interface PassResult {
  readonly graph: Graph;
  /** How many places were changed. */
  readonly applied: number;
  /** Reason -> how many places were left alone for it. */
  readonly refused: Readonly<Record<string, number>>;
}

/** What one pass did to a graph, and why it left alone what it could have changed. */
export interface PassReport {
  readonly pass: string;
  /** Nodes that are dispatched. */
  readonly opsBefore: number;
  readonly opsAfter: number;
  readonly applied: number;
  /** Reason -> how often. */
  readonly refused: Readonly<Record<string, number>>;
}

/** A named pass. */
export interface Pass {
  readonly name: string;
  readonly summary: string;
  run(graph: Graph, target: Target): PassResult;
}

/** What a rewrite rule sees of the graph around a node. */
export interface RewriteContext {
  readonly graph: Graph;
  readonly target: Target;
  /** The node that makes a value, if a node does. */
  producer(value: ValueId): Node | undefined;
  /** Whether only one node or output uses the value. */
  usedOnce(value: ValueId): boolean;
  /** The value's type and name. */
  value(id: ValueId): Value;
  /** A fresh value. */
  newValue(value: Value): ValueId;
}

/** Nodes to put in place of a node (the last one makes its output), a reason to leave it, or nothing to say. */
export type Rewrite = readonly Node[] | string | undefined;

/**
 * Applies a rule to every node in order, over and over until nothing changes; nodes whose results nobody uses
 * any more are dropped. A rule folds a producer into the node it is called with, so it must check that the
 * producer's value is used once unless the producer may be computed twice.
 */
export function rewriteNodes(
  graph: Graph,
  target: Target,
  rule: (node: Node, context: RewriteContext) => Rewrite,
): PassResult {
  let current = graph;
  let applied = 0;
  for (;;) {
    const round = rewriteOnce(current, target, rule);
    applied += round.applied;
    current = round.graph;
    if (round.applied === 0) return { graph: current, applied, refused: round.refused };
  }
}

function rewriteOnce(
  graph: Graph,
  target: Target,
  rule: (node: Node, context: RewriteContext) => Rewrite,
): PassResult {
  const makers = producers(graph);
  const uses = useCounts(graph);
  const values = new Map(graph.values);
  let nextId = Math.max(-1, ...values.keys()) + 1;
  let applied = 0;
  const refused: Record<string, number> = {};
  const touched = new Set<ValueId>();
  const context: RewriteContext = {
    graph,
    target,
    // A value whose maker was rewritten in this round waits for the next one.
    producer: (value) => (touched.has(value) ? undefined : makers.get(value)),
    usedOnce: (value) => uses.get(value) === 1,
    value: (id) => values.get(id) ?? valueOf(graph, id),
    newValue(value) {
      values.set(nextId, value);
      return nextId++;
    },
  };
  const nodes = graph.nodes.flatMap((node): readonly Node[] => {
    const result = rule(node, context);
    if (result === undefined) return [node];
    if (typeof result === 'string') {
      refused[result] = (refused[result] ?? 0) + 1;
      return [node];
    }
    applied++;
    for (const made of result) touched.add(made.output);
    return result;
  });
  return { graph: removeUnused({ ...graph, nodes, values }), applied, refused };
}

/** The node with some inputs replaced by other values. */
export function replaceInputs(node: Node, replacement: ReadonlyMap<ValueId, ValueId>): Node {
  const pairs = inputsOf(node);
  if (!pairs.some(([, id]) => replacement.has(id))) return node;
  const inputs = Object.fromEntries(pairs.map(([name, id]) => [name, replacement.get(id) ?? id]));
  // The keys are those of node.inputs, so the kind's input type still holds.
  return { ...node, inputs } as Node;
}
