/**
 * @file Compute pipelines of a device, asked for at once and kept by the text of their shader.
 *
 * NVIDIA's driver compiles for one process one after the other, in the order in which it is asked: the 59 shaders of SD1.5's first
 * picture take 4.9 s of an H100's host with 16 cores, 1.4 s if four processes share them (driver 580). So they are asked for
 * early and in the order of their use, and variants cost time.
 */

import { KernelError } from '../../errors.ts';
import type { Shader } from '../../kernels/wgsl.ts';
import type { OpenDevice } from './device.ts';
import { COMPUTE_STAGE } from './flags.ts';

/** A shader to compile, and for whom. */
export interface PipelineRequest {
  readonly shader: Shader;
  /** Kernel and node, for labels and errors. */
  readonly kernel: string;
  readonly node: string;
}

/** A pipeline and the layout of its bind group. */
export interface CompiledPipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

interface DeviceCache {
  readonly pipelines: Map<string, Promise<CompiledPipeline>>;
  readonly layouts: Map<string, GPUBindGroupLayout>;
}

const caches = new WeakMap<GPUDevice, DeviceCache>();

function cacheOf(device: OpenDevice): DeviceCache {
  const cache = caches.get(device.gpu) ?? { pipelines: new Map(), layouts: new Map() };
  caches.set(device.gpu, cache);
  return cache;
}

/**
 * The pipeline of a shader, compiled unless the device has it already.
 * @throws KernelError naming kernel and node, with the compiler's messages.
 */
export function compilePipeline(device: OpenDevice, request: PipelineRequest): Promise<CompiledPipeline> {
  const { pipelines } = cacheOf(device);
  const { code } = request.shader;
  const known = pipelines.get(code);
  if (known) return known;
  const compiling = compile(device, request);
  pipelines.set(code, compiling);
  compiling.catch(() => pipelines.delete(code));
  return compiling;
}

async function compile(
  device: OpenDevice,
  { shader, kernel, node }: PipelineRequest,
): Promise<CompiledPipeline> {
  const layout = bindGroupLayout(device, shader);
  const module = await device.scoped(`the shader of kernel ${kernel} for "${node}"`, () =>
    device.gpu.createShaderModule({ label: kernel, code: shader.code }),
  );
  try {
    const pipeline = await device.gpu.createComputePipelineAsync({
      label: kernel,
      layout: device.gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    });
    return { pipeline, layout };
  } catch (cause) {
    device.check();
    throw new KernelError(
      `the device cannot compile kernel ${kernel}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        field: node,
        remedy:
          'This is a bug in the kernel or in the driver: report it with the output of "calotype doctor"',
        cause,
      },
    );
  }
}

function bindGroupLayout(device: OpenDevice, { bindings }: Shader): GPUBindGroupLayout {
  const { layouts } = cacheOf(device);
  const key = bindings.map(({ index, type }) => `${index} ${type}`).join(', ');
  const layout =
    layouts.get(key) ??
    device.gpu.createBindGroupLayout({
      label: key,
      entries: bindings.map(({ index, type }) => ({
        binding: index,
        visibility: COMPUTE_STAGE,
        buffer: { type },
      })),
    });
  layouts.set(key, layout);
  return layout;
}
