/** @file `calotype/cpu`: pipelines on the CPU backend, for bundles that shall hold nothing of WebGPU. */
import { cpu } from './backends/cpu/cpu.ts';
import type { DiffusionPipeline as Pipeline } from './pipelines/diffusion-pipeline.ts';
import { pipelineLoader, type PipelineLoader } from './pipelines/load/pipeline-loader.ts';
import { modelFiles } from './platform/model-files.ts';

export { cpu };
export type { CpuOptions } from './backends/cpu/cpu.ts';

/** Loads pipelines; without the option `backends` they run on the CPU. */
export const DiffusionPipeline: PipelineLoader = /* @__PURE__ */ pipelineLoader({
  ...modelFiles,
  defaultBackends: () => [cpu()],
});
/** A loaded pipeline. */
export type DiffusionPipeline = Pipeline;
