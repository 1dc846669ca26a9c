/**
 * @file What a model will do before it does anything: graphs, fusions made and refused, memory, dispatches, FLOPs.
 * Needs configurations only, no weights and no device.
 */

import { bindGraph, valueOf, type Graph } from '../../graph/graph.ts';
import { flopsOf } from '../../graph/ops.ts';
import { buildControlNet } from '../../models/controlnet.ts';
import { buildPixArtTransformer } from '../../models/pixart-transformer.ts';
import { buildUNet2DCondition } from '../../models/unet2d-condition.ts';
import { countOps } from '../../passes/index.ts';
import type { PassReport } from '../../passes/pass.ts';
import type { Plan } from '../../plan/plan.ts';
import { plan } from '../../plan/planner.ts';
import type { Target } from '../../plan/target.ts';
import { DEVICE_DTYPE_BYTES } from '../../tensor/dtype.ts';
import { bindDim, type Bindings } from '../../tensor/shape.ts';
import { controlPath } from '../control/control-graph.ts';
import { isPixArt, type DenoiserConfig } from '../denoise/denoiser-config.ts';
import { denoiseParts, type DenoisePart, type DenoiseShape } from '../denoise/denoise-parts.ts';

/** One program of a network. */
export interface ProgramReport {
  /** `prompt` runs once a prompt, `step` once a schedule, `latent` once a step; whole networks run once a picture. */
  readonly name: string;
  /** Ops as model files write them. */
  readonly opsBefore: number;
  readonly plan: Plan;
  /** Multiply-adds count 2. */
  readonly flops: number;
}

/** A network's programs, and what they would cost without fusion and splitting. */
export interface NetworkReport {
  readonly name: string;
  /** Ops that would be dispatched if every op of the model file ran by itself, every time. */
  readonly unfusedOps: number;
  /** Passes that ran before the split by rate. */
  readonly passes: readonly PassReport[];
  readonly programs: readonly ProgramReport[];
  readonly weightBytes: number;
}

/** FLOPs of a graph with concrete shapes. */
export function graphFlops(graph: Graph): number {
  return graph.nodes.reduce(
    (sum, node) =>
      sum +
      bindDim(
        flopsOf(node, (id) => valueOf(graph, id)),
        {},
      ),
    0,
  );
}

function report(name: string, graph: Graph, target: Target): ProgramReport {
  return { name, opsBefore: countOps(graph), plan: plan(graph, target), flops: graphFlops(graph) };
}

function weightBytes(graph: Graph, { dtype, weightDtype = dtype }: Target): number {
  return graph.weights.reduce((sum, { value, parts }) => {
    const type = valueOf(graph, value).shape.length > 1 ? weightDtype : dtype;
    const elements = parts.reduce((count, { shape }) => count + shape.reduce((a, b) => a * b, 1), 0);
    return sum + elements * DEVICE_DTYPE_BYTES[type];
  }, 0);
}

/** A network that runs as one program, like a text encoder or a VAE. */
export function inspectNetwork(graph: Graph, bindings: Bindings, target: Target): NetworkReport {
  const bound = bindGraph(graph, bindings);
  const program = report(graph.name, bound, target);
  return {
    name: graph.name,
    unfusedOps: countOps(bound),
    passes: [],
    programs: [program],
    weightBytes: weightBytes(graph, target),
  };
}

/** A network that denoises, with its scheduler, as `Denoiser` runs it with tables for this many steps. */
export function inspectDenoiser(
  config: DenoiserConfig,
  shape: DenoiseShape,
  steps: number,
  target: Target,
): NetworkReport {
  const { prompt, step, latent, unfusedOps, passes } = denoiseParts(config, shape, steps, target);
  const whole = isPixArt(config) ? buildPixArtTransformer(config) : buildUNet2DCondition(config);
  const nets = (shape.controls ?? []).map((net) => buildControlNet(net.config, controlPath(net.index)));
  const part = (name: string, { graph, bindings }: DenoisePart): ProgramReport =>
    report(name, bindGraph(graph, bindings), target);
  return {
    name: [whole, ...nets].map(({ name }) => name).join(' + '),
    unfusedOps,
    passes,
    programs: [
      ...(prompt ? [part('prompt', prompt)] : []),
      ...(step ? [part('step', step)] : []),
      part('latent', latent),
    ],
    weightBytes: [whole, ...nets].reduce((sum, graph) => sum + weightBytes(graph, target), 0),
  };
}
