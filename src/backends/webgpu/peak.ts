/** @file The two limits of a device's roofline, measured on it: arithmetic from registers, and copies of memory. */

import bytesSource from '../../../shaders/peak-bytes.wgsl';
import flopsSource from '../../../shaders/peak-flops.wgsl';
import { fold } from '../../kernels/kernel.ts';
import { assembleShader, type Constants } from '../../kernels/wgsl.ts';
import type { FloatDType } from '../../tensor/dtype.ts';
import type { Peak } from '../backend.ts';
import type { OpenDevice } from './device.ts';
import { BUFFER_USAGE } from './flags.ts';
import { compilePipeline } from './pipelines.ts';
import { timeRepeats } from './stopwatch.ts';

/** Of f16 storage the arithmetic is that of subgroup matrices of 16x16x16, of halves, or of floats, as kernels have it. */
function arithmetic({ traits }: OpenDevice, dtype: FloatDType): 'matrix' | 'f16' | 'f32' {
  if (dtype === 'f32' || !traits.f16) return 'f32';
  const [best] = traits.subgroupMatrices;
  return best?.elements === 'f16' && best.rows === 16 && traits.subgroupSize === 32 ? 'matrix' : 'f16';
}

/** Operations of one repeat of a workgroup of 128: 4 subgroups' 16 products of matrices, or 8 sums of vectors each. */
const REPEAT_FLOPS = { matrix: 4 * 16 * 2 * 16 ** 3, f16: 128 * 8 * 4 * 2, f32: 128 * 8 * 4 * 2 };

/** How long a measurement should take; clocks need some of it to rise. */
const LONG_MS = 20;

/** Measures both; takes about a second. */
export async function measurePeak(device: OpenDevice, dtype: FloatDType): Promise<Peak> {
  const kind = arithmetic(device, dtype);
  const groups = device.traits.software ? 8 : 4096;
  const flops = await probe(device, {
    name: 'peak-flops',
    source: flopsSource,
    constants: { KIND: kind },
    workgroups: [groups, 1, 1],
    buffers: [groups * 512],
    dims: (effort) => 64 * effort,
    work: (effort) => groups * REPEAT_FLOPS[kind] * 64 * effort,
  });
  // Far larger than any cache.
  const largest = Math.min(device.limits.maxBindingBytes, device.limits.maxBufferBytes);
  const size = Math.min(largest, device.traits.software ? 2 ** 26 : 2 ** 29);
  const bytes = await probe(device, {
    name: 'peak-bytes',
    source: bytesSource,
    constants: {},
    workgroups: fold(size / 16 / 256, device.traits),
    buffers: [size, size],
    dims: () => size / 16,
    work: () => 2 * size,
  });
  return { flops, bytes };
}

interface Probe {
  readonly name: string;
  readonly source: string;
  readonly constants: Constants;
  readonly workgroups: readonly [number, number, number];
  /** Bytes of its storage buffers. */
  readonly buffers: readonly number[];
  /** Its only uniform, and what one run does, at some effort. */
  dims(effort: number): number;
  work(effort: number): number;
}

/** What a probe does in a second: the effort is doubled until a run takes long enough, and the best of some runs counts. */
async function probe(device: OpenDevice, { name, source, constants, ...rest }: Probe): Promise<number> {
  const { gpu } = device;
  const shader = assembleShader(name, source, constants, {});
  const { pipeline, layout } = await compilePipeline(device, { shader, kernel: name, node: name });
  const { STORAGE, UNIFORM, COPY_DST } = BUFFER_USAGE;
  const made = await device.scoped(name, () => {
    const uniforms = gpu.createBuffer({ size: 16, usage: UNIFORM | COPY_DST });
    const storage = rest.buffers.map((size) => gpu.createBuffer({ size, usage: STORAGE }));
    const all = [uniforms, ...storage];
    const entries = all.map((buffer, binding) => ({ binding, resource: { buffer } }));
    return { uniforms, all, bindGroup: gpu.createBindGroup({ layout, entries }) };
  });
  const recording = {
    pipelines: [pipeline],
    bindGroups: [made.bindGroup],
    workgroups: Uint32Array.from(rest.workgroups),
  };
  const run = (effort: number): Promise<number> => {
    gpu.queue.writeBuffer(made.uniforms, 0, Uint32Array.of(rest.dims(effort)));
    return timeRepeats(device, recording, 1);
  };
  try {
    let effort = 1;
    const most = rest.work(2) > rest.work(1) ? 2 ** 16 : 1;
    while ((await run(effort)) < LONG_MS && effort < most) effort *= 2;
    let best = Infinity;
    for (let i = 0; i < 5; i++) best = Math.min(best, await run(effort));
    return (rest.work(effort) * 1000) / best;
  } finally {
    for (const buffer of made.all) buffer.destroy();
  }
}
