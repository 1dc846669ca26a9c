/**
 * @file The denoising step as it is compiled: split by rate into programs that run once a prompt, once a schedule and
 * once a step, with the sizes of each.
 */

import { countOps, PASSES_BEFORE_SPLIT, runPasses } from '../../passes/index.ts';
import { splitByRate } from '../../passes/split-by-rate.ts';
import type { Graph } from '../../graph/graph.ts';
import type { PassReport } from '../../passes/pass.ts';
import type { Target } from '../../plan/target.ts';
import type { Bindings } from '../../tensor/shape.ts';
import { withFeatureCache, type FeatureCacheRole } from './feature-cache.ts';
import { guidanceRows } from '../guidance/guidance-rows.ts';
import { denoiseGraph, type DenoiseStructure } from './denoise-graph.ts';
import { latentGranularity, type DenoiserConfig } from './denoiser-config.ts';

/** Sizes that programs are compiled for. */
export interface DenoiseShape extends DenoiseStructure {
  readonly images: number;
  /** Of the latents. */
  readonly height: number;
  readonly width: number;
  /** Tokens of the text, padding included. */
  readonly tokens: number;
  /** Calls of the network from one that computes deep features to the next; default 1, every call. */
  readonly cacheInterval?: number | undefined;
  /** What a program does about kept features; default nothing. */
  readonly cache?: FeatureCacheRole;
}

/** A graph with numbers for its symbols. */
export interface DenoisePart {
  readonly graph: Graph;
  readonly bindings: Bindings;
}

/** The parts of a step; `prompt` and `step` are absent where nothing depends on prompt or timestep alone. */
export interface DenoiseParts {
  readonly prompt: DenoisePart | undefined;
  readonly step: DenoisePart | undefined;
  readonly latent: DenoisePart;
  /** Rows of the network's batch: images, as often as guidance needs. */
  readonly batch: number;
  /** Ops of the step as model files write them. */
  readonly unfusedOps: number;
  /** The passes that ran before the split. */
  readonly passes: readonly PassReport[];
}

/** The parts of a network's denoising step, with tables for `steps` steps. */
export function denoiseParts(
  config: DenoiserConfig,
  shape: DenoiseShape,
  steps: number,
  target: Target,
): DenoiseParts {
  const { images, tokens } = shape;
  const granularity = latentGranularity(config);
  const [height, width] = [shape.height / granularity, shape.width / granularity];
  const whole = withFeatureCache(denoiseGraph(config, shape), config, shape.cache);
  const { graph, reports } = runPasses(whole, target, PASSES_BEFORE_SPLIT);
  const { prompt, step, latent } = splitByRate(graph);
  const batch = guidanceRows(shape).length * images;
  const bindings = { images, height, width, tokens, steps, rows: steps * batch, prompts: batch };
  return {
    prompt: prompt && { graph: prompt, bindings },
    // One batch row for each step and image.
    step: step && { graph: step, bindings: { ...bindings, images: steps * images } },
    latent: { graph: latent, bindings },
    batch,
    unfusedOps: countOps(whole),
    passes: reports,
  };
}
