/** @file Makes one linear layer of those that feed an attention from the same value (QKV, or K and V of a text). */

import type { Weight } from '../graph/graph.ts';
import type { ValueId } from '../graph/op.ts';
import type { Node, NodeOf } from '../graph/ops.ts';
import { producers, removeUnused, useCounts, valueOf } from '../graph/graph.ts';
import type { Pass } from './pass.ts';

const ROLES = ['q', 'k', 'v'] as const;

export const fuseQkv: Pass = {
  name: 'qkv',
  summary: 'one linear layer for q, k and v of the same source',
  run(graph) {
    const makers = producers(graph);
    const uses = useCounts(graph);
    const weightOf = new Map(graph.weights.map((weight) => [weight.value, weight]));
    const values = new Map(graph.values);
    const weights: Weight[] = [...graph.weights];
    const refused: Record<string, number> = {};
    let nextId = Math.max(-1, ...values.keys()) + 1;
    let applied = 0;
    const insertBefore = new Map<Node, Node>();
    const replaced = new Map<Node, Node>();

    /** A weight made of these, one below the other. */
    const stack = (ids: readonly ValueId[], name: string): ValueId => {
      const types = ids.map((id) => valueOf(graph, id));
      const rows = types.reduce((sum, type) => sum + Number(type.shape[0]), 0);
      const id = nextId++;
      values.set(id, { name, dtype: 'float', shape: [rows, ...(types[0]?.shape.slice(1) ?? [])] });
      weights.push({ value: id, parts: ids.flatMap((part) => weightOf.get(part)?.parts ?? []) });
      return id;
    };

    for (const node of graph.nodes) {
      if (node.kind !== 'attention') continue;
      const layers = ROLES.map((role) => makers.get(node.inputs[role]));
      const plain = layers.map((layer): NodeOf<'linear'> | undefined =>
        layer?.kind === 'linear' &&
        layer.attrs.activation === 'none' &&
        layer.inputs.residual === undefined &&
        uses.get(layer.output) === 1 &&
        weightOf.has(layer.inputs.weight)
          ? layer
          : undefined,
      );
      // Self-attention joins all three; cross-attention joins k and v, whose source is the text.
      const [q, k, v] = plain;
      const group =
        k && v && k.inputs.x === v.inputs.x ? (q && q.inputs.x === k.inputs.x ? [q, k, v] : [k, v]) : [];
      if (group.length === 0 || new Set(group.map((layer) => layer.inputs.bias === undefined)).size > 1) {
        const reason = 'k and v are not plain linear layers of one source';
        refused[reason] = (refused[reason] ?? 0) + 1;
        continue;
      }
      const first = group[0];
      if (!first) continue;
      const name = first.name.replace(/to_[qk]$|[qk]_proj$/, group.length === 3 ? 'to_qkv' : 'to_kv');
      const weight = stack(
        group.map((layer) => layer.inputs.weight),
        `${name}.weight`,
      );
      const biases = group.flatMap((layer) => (layer.inputs.bias === undefined ? [] : [layer.inputs.bias]));
      const output = nextId++;
      const widths = group.map((layer) => Number(valueOf(graph, layer.output).shape.at(-1)));
      const total = widths.reduce((a, b) => a + b, 0);
      values.set(output, {
        ...valueOf(graph, first.output),
        name,
        shape: [...valueOf(graph, first.output).shape.slice(0, -1), total],
      });
      insertBefore.set(first, {
        kind: 'linear',
        name,
        inputs: {
          x: first.inputs.x,
          weight,
          ...(biases.length > 0 ? { bias: stack(biases, `${name}.bias`) } : {}),
        },
        attrs: { activation: 'none' },
        output,
      });
      const inputs = { ...node.inputs };
      const offsets: [number, number, number] = [...node.attrs.offsets];
      let start = 0;
      group.forEach((_layer, i) => {
        const role = ROLES[ROLES.length - group.length + i] ?? 'v';
        inputs[role] = output;
        offsets[ROLES.indexOf(role)] = start + node.attrs.offsets[ROLES.indexOf(role)];
        start += widths[i] ?? 0;
      });
      replaced.set(node, { ...node, inputs, attrs: { ...node.attrs, offsets } });
      applied++;
    }
    const nodes = graph.nodes.flatMap((node) => {
      const before = insertBefore.get(node);
      return [...(before ? [before] : []), replaced.get(node) ?? node];
    });
    return { graph: removeUnused({ ...graph, nodes, values, weights }), applied, refused };
  },
};
