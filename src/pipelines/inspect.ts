/**
 * @file What a model will do before it does anything: graphs, fusions made and refused, memory, dispatches, FLOPs.
 * Needs configurations only, no weights and no device.
 */

import { bindGraph, valueOf, type Graph } from '../graph/graph.ts';
import { flopsOf } from '../graph/ops.ts';
import type { UNet2DConditionConfig } from '../loaders/configs/unet.ts';
import { countOps, PASSES_BEFORE_SPLIT, runPasses } from '../passes/index.ts';
import { splitByRate } from '../passes/split-by-rate.ts';
import type { PassReport, Plan } from '../plan/plan.ts';
import { plan } from '../plan/planner.ts';
import type { Target } from '../plan/target.ts';
import { bindDim, type Bindings } from '../tensor/shape.ts';
import { denoiseGraph, type DenoiseStructure } from './denoise-graph.ts';

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

function weightBytes(graph: Graph, target: Target): number {
  const elements = graph.weights.flatMap(({ parts }) =>
    parts.map(({ shape }) => shape.reduce((a, b) => a * b, 1)),
  );
  return elements.reduce((a, b) => a + b, 0) * (target.dtype === 'f16' ? 2 : 4);
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

/** Sizes of a denoising step. */
export interface DenoiseSizes extends DenoiseStructure {
  readonly images: number;
  /** Of the latents. */
  readonly height: number;
  readonly width: number;
  readonly tokens: number;
  readonly steps: number;
}

/** A UNet with its scheduler, as `Denoiser` runs it. */
export function inspectDenoiser(
  config: UNet2DConditionConfig,
  sizes: DenoiseSizes,
  target: Target,
): NetworkReport {
  const { images, height, width, tokens, steps, guided } = sizes;
  const whole = denoiseGraph(config, sizes);
  const { graph, reports } = runPasses(whole, target, PASSES_BEFORE_SPLIT);
  const split = splitByRate(graph);
  const prompts = (guided ? 2 : 1) * images;
  const bindings = { images, height, width, tokens, steps, prompts, rows: steps * prompts };
  const part = (name: string, part: Graph | undefined, stacked: number): ProgramReport[] =>
    part ? [report(name, bindGraph(part, { ...bindings, images: stacked }), target)] : [];
  return {
    name: 'unet',
    unfusedOps: countOps(bindGraph(whole, bindings)),
    passes: reports,
    programs: [
      ...part('prompt', split.prompt, images),
      ...part('step', split.step, steps * images),
      ...part('latent', split.latent, images),
    ],
    weightBytes: weightBytes(whole, target),
  };
}
