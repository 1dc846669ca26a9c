/** @file The passes, in the order they run. Each fuses one pattern, if the target's kernels can run the result. */

import type { Graph } from '../graph/graph.ts';
import { OPS } from '../graph/ops.ts';
import { FUSIONS, type Fusion, type Target } from '../plan/target.ts';
import { fuseActivation } from './fuse-activation.ts';
import { fuseBias } from './fuse-bias.ts';
import { fuseConcat } from './fuse-concat.ts';
import { fuseGeglu } from './fuse-geglu.ts';
import { fuseGuidedStep } from './fuse-guided-step.ts';
import { fuseQkv } from './fuse-qkv.ts';
import { fuseResidual } from './fuse-residual.ts';
import { fuseTimeEmbedding } from './fuse-time-embedding.ts';
import { fuseUpsample } from './fuse-upsample.ts';
import { int8 } from './int8.ts';
import { mergeDuplicates } from './merge-duplicates.ts';
import type { Pass, PassReport } from './pass.ts';
import { splitLarge } from './split-large.ts';

/**
 * Passes that run before a graph is split by rate: they see prompt, step and latent parts side by side, and move
 * no work from one rate to another (a layer that takes up a bias keeps its rate; one that takes up a residual of a
 * faster rate would not).
 */
export const PASSES_BEFORE_SPLIT: readonly Pass[] = [mergeDuplicates, fuseBias, fuseQkv];

/**
 * Epilogues apply bias, time embedding, residual and activation in this order, so the passes come in it too:
 * an activation that is fused first would bar the residual.
 */
export const PASSES: readonly Pass[] = [
  mergeDuplicates,
  fuseBias,
  fuseTimeEmbedding,
  fuseResidual,
  fuseActivation,
  fuseGeglu,
  fuseQkv,
  fuseConcat,
  fuseUpsample,
  fuseGuidedStep,
  int8,
  splitLarge,
];

function isFusion(name: string): name is Fusion {
  return FUSIONS.some((fusion) => fusion === name);
}

/** Number of nodes that are dispatched: views are not. */
export function countOps(graph: Graph): number {
  return graph.nodes.filter(({ kind }) => !OPS[kind].isView).length;
}

/** Runs the passes that the target allows, all by default, and reports on each. */
export function runPasses(
  graph: Graph,
  target: Target,
  passes: readonly Pass[] = PASSES,
): { graph: Graph; reports: PassReport[] } {
  let current = graph;
  const reports = passes.map((pass): PassReport => {
    const opsBefore = countOps(current);
    if (isFusion(pass.name) && !target.fusions.has(pass.name))
      return {
        pass: pass.name,
        opsBefore,
        opsAfter: opsBefore,
        applied: 0,
        refused: { [`not a fusion of ${target.name}`]: 1 },
      };
    const { graph: next, applied, refused } = pass.run(current, target);
    current = next;
    return { pass: pass.name, opsBefore, opsAfter: countOps(current), applied, refused };
  });
  return { graph: current, reports };
}
