/**
 * @file `calotype/node`: all of `calotype`, for programs that run in Node or Deno alone. Where the machine has an NVIDIA
 * driver, `@calotype/cuda` is tried first, then WebGPU (in Node through the package `webgpu`), then the CPU; a pipeline's
 * `notices` say why a backend was not taken, and what to install.
 */
import { cpu } from './backends/cpu/cpu.ts';
import { webgpu } from './backends/webgpu/webgpu.ts';
import { pipelineLoader, type PipelineLoader } from './pipelines/load/pipeline-loader.ts';
import type { DiffusionPipeline as Pipeline } from './pipelines/diffusion-pipeline.ts';
import { modelFiles } from './platform/model-files.ts';
import { cuda, cudaDevices, hasNvidiaDriver, type CudaCard } from './platform/node-cuda.ts';

export * from './index.ts';
export { cuda, cudaDevices, hasNvidiaDriver, type CudaCard };

/** Loads pipelines. */
export const DiffusionPipeline: PipelineLoader = /* @__PURE__ */ pipelineLoader({
  ...modelFiles,
  defaultBackends: () => [...(hasNvidiaDriver() ? [cuda()] : []), webgpu(), cpu()],
});
/** A loaded pipeline. */
export type DiffusionPipeline = Pipeline;
