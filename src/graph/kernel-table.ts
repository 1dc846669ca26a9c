/** @file What the kernel tables of all backends share: which nodes a kernel is for, and finding it in its table. */

import { KernelError } from '../errors.ts';
import type { DeviceDType } from '../tensor/dtype.ts';
import { elementCount } from '../tensor/shape.ts';
import type { ValueId } from './op.ts';
import { inputsOf, type Node, type OpKind } from './ops.ts';

/** Nodes of the kinds `K`, as a union that `kind` narrows. */
export type NodesOf<K extends OpKind> = Extract<Node, { readonly kind: K }>;

/** What every kernel may know of a node's values. */
export interface ValueContext {
  /** Shape of a value. */
  shapeOf(value: ValueId): readonly number[];
  /** Element type of a value. */
  dtypeOf(value: ValueId): DeviceDType;
}

/** Tells the nodes that the kernel `id` is for: `ours` throws KernelError for others. */
export function nodesOf<K extends OpKind>(
  id: string,
  ops: readonly K[],
): { isOurs(node: Node): node is NodesOf<K>; ours(node: Node): NodesOf<K> } {
  const isOurs = (node: Node): node is NodesOf<K> => ops.some((kind) => kind === node.kind);
  return {
    isOurs,
    ours(node) {
      if (isOurs(node)) return node;
      throw new KernelError(`the kernel ${id} does not compute ${node.kind}`, {
        field: node.name,
        remedy: 'Plan for the target of the backend that compiles',
      });
    },
  };
}

/** The input of this name, if the output can take its place: an f32 state that becomes f16 values cannot be overwritten. */
export function inPlaceInput(
  node: Node,
  name: string | undefined,
  context: ValueContext,
): string | undefined {
  const input = inputsOf(node).find(([key]) => key === name)?.[1];
  return input !== undefined && context.dtypeOf(input) === context.dtypeOf(node.output) ? name : undefined;
}

/**
 * The first kernel of a table that can run a node; throws KernelError naming the node if there is none.
 * @param backend its name, for the message
 */
export function firstKernel<Context, Kernel extends { supports(node: Node, context: Context): boolean }>(
  backend: string,
  table: readonly Kernel[],
  node: Node,
  context: Context,
): Kernel {
  const kernel = table.find((candidate) => candidate.supports(node, context));
  if (kernel) return kernel;
  throw new KernelError(`no ${backend} kernel computes this ${node.kind}`, {
    field: node.name,
    remedy: 'Run the model on another backend, and report its configuration',
  });
}

/** The kernel with this id; throws KernelError naming the node if there is none. */
export function kernelWithId<Kernel extends { readonly id: string }>(
  backend: string,
  table: readonly Kernel[],
  id: string,
  node: Node,
): Kernel {
  const kernel = table.find((candidate) => candidate.id === id);
  if (kernel) return kernel;
  throw new KernelError(`there is no ${backend} kernel "${id}"`, {
    field: node.name,
    remedy: 'Plan for the target of the backend that compiles',
  });
}

/** Last dimension of a value. */
export function channelsOf(context: Pick<ValueContext, 'shapeOf'>, value: ValueId): number {
  return context.shapeOf(value).at(-1) ?? 1;
}

/** Elements of a value over its channels: pixels or tokens of the whole batch. */
export function rowsOf(context: Pick<ValueContext, 'shapeOf'>, value: ValueId): number {
  return elementCount(context.shapeOf(value).slice(0, -1));
}
